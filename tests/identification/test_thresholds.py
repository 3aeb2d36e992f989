import math

import numpy as np
import pytest

from keras_vsoftmax.identification import false_accept_interval, threshold_at_far


def _reference(scores, far):
    """The greatest of the scores' values, and above them, that lets as many pass as may."""
    best = None
    for threshold in [*sorted(set(scores)), np.nextafter(max(scores), np.inf)]:
        rate = sum(score >= threshold for score in scores) / len(scores)
        if rate <= far + 1e-12:
            best = threshold
            break
    return best


@pytest.mark.parametrize("far", [0.01, 0.1, 0.3, 0.5])
def test_against_the_definition(far):
    rng = np.random.default_rng(0)
    for scores in (rng.normal(size=100), rng.integers(0, 6, 100) / 5, np.full(100, 0.25)):
        threshold = threshold_at_far(scores, far)
        assert threshold == _reference(scores.tolist(), far)
        assert np.mean(scores >= threshold) <= far


def test_new_people_pass_at_no_more_than_the_rate():
    """In expectation, also where the rate is one query of those that the threshold has seen."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(4000, 2, 50))
    rates = [np.mean(new >= threshold_at_far(seen, 0.02)) for seen, new in scores]
    assert np.mean(rates) == pytest.approx(1 / 51, abs=0.001)


def test_errors_say_what_was_received():
    assert threshold_at_far([0.2, 0.1], far=1) == -math.inf
    with pytest.raises(ValueError, match=r"at least 100 unknown queries. Received: 99"):
        threshold_at_far(np.zeros(99), far=0.01)
    with pytest.raises(ValueError, match="Received: 2 of 3 that are not"):
        threshold_at_far([np.nan, 1, np.inf], far=0.5)
    with pytest.raises(ValueError, match="far=0"):
        threshold_at_far([1.0], far=0)
    with pytest.raises(ValueError, match=r"Received: \(0,\)"):
        threshold_at_far([], far=0.5)
    for far in ("a", None, np.nan):
        with pytest.raises(ValueError, match=f"Received: far={far!r}"):
            threshold_at_far([1.0], far=far)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(calibration_people=np.arange(2)), r"`calibration_people` .* of shape \(2,\)"),
        (dict(test_people=[0, np.nan, 1]), "`test_people` .* 1 of 3 with NaN"),
        (dict(confidence=95), "Received: confidence=95"),
        (dict(confidence=-0.5), "Received: confidence=-0.5"),
        (dict(confidence="0.9"), "Received: confidence='0.9'"),
        (dict(samples=0), "Received: samples=0"),
        (dict(samples=1.5), "Received: samples=1.5"),
    ],
)
def test_an_interval_says_what_it_received(arguments, message):
    usual = {name: np.arange(3) for name in ("calibration_people", "test_people")}
    with pytest.raises(ValueError, match=message):
        false_accept_interval(
            calibration=np.ones(3), test=np.ones(3), far=0.5, **{**usual, **arguments}
        )


def test_the_interval_covers_the_wanted_rate_as_often_as_it_says():
    """Images of a person are alike, so that people, not images, must be drawn.

    What is covered is the rate that was asked for, by intervals that count calibration and test.
    """
    rng = np.random.default_rng(0)
    people = np.arange(60).repeat(10)
    covered = {"people": 0, "images": 0}
    trials = 80
    for trial in range(trials):
        scores = rng.normal(size=(2, 60, 1)) + 0.3 * rng.normal(size=(2, 60, 10))
        seen, new = scores.reshape(2, -1)
        for kind, own in (("people", people), ("images", np.arange(600))):
            low, high = false_accept_interval(
                seen, own, new, own, far=0.2, confidence=0.9, samples=200, seed=trial
            )
            covered[kind] += low <= 0.2 <= high
    assert covered["people"] / trials > 0.85
    assert covered["images"] / trials < 0.7  # intervals of single images are far too narrow
