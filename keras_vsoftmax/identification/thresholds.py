"""From which score on somebody is taken for known."""

import math

import numpy as np

from keras_vsoftmax.heads.checks import check_range
from keras_vsoftmax.retrieval.checks import as_tuple
from keras_vsoftmax.retrieval.scores import checked_labels
from keras_vsoftmax.utils.counts import check_count
from keras_vsoftmax.utils.thresholds import allowed


def threshold_at_far(scores, far):
    """The least threshold that lets at most a share `far` of unknown queries pass.

    A query passes when its score is at least the threshold. Of the thresholds with the same
    passes the greatest is taken, which is one of the scores: new unknown queries of the same
    kind then pass at a rate of at most `far` in expectation.

    Args:
        scores: float array (queries,), the greatest score of each unknown query.
        far: float, over 0 and at most 1. Fewer than `1 / far` queries cannot show it.

    Returns:
        float; `-inf` for a `far` of 1.

    Raises:
        ValueError: for scores that are not finite, a `far` out of range, or too few queries.

    Example:

    >>> threshold_at_far([0.1, 0.4, 0.2, 0.3], far=0.25)
    0.4
    """
    scores = checked_scores(scores)
    check_far(far)
    if far == 1:
        return -math.inf
    if allowed(far, len(scores)) == 0:
        raise ValueError(
            f"A false-accept rate of {far:g} needs at least {math.ceil(1 / far)} unknown queries. "
            f"Received: {len(scores)}"
        )
    scores = np.sort(scores)[::-1]
    return _threshold(scores, np.ones(len(scores), "int64"), far)


def false_accept_interval(
    calibration,
    calibration_people,
    test,
    test_people,
    far,
    *,
    confidence=0.95,
    samples=1000,
    seed=0,
):
    """Between which bounds the false-accept rate on held-out people lies.

    The threshold was chosen on some people and is measured on others, and the images of one
    person are alike: both sets are drawn anew, person by person, with replacement; each time the
    threshold is chosen by `threshold_at_far` and the rate measured. The bounds are percentiles of
    these rates. A `far` that is kept lies between them.

    Args:
        calibration: float array (n,), scores of unknown queries that the threshold is chosen on.
        calibration_people: ids or names (n,), whose they are.
        test: float array (m,), scores of unknown queries of others.
        test_people: ids or names (m,).
        far: float, the wanted rate, as for `threshold_at_far`.
        confidence: float, over 0 and at most 1, the share of the drawn rates between the bounds.
        samples: int, at least 1, how many times the people are drawn.
        seed: int, of the draws.

    Returns:
        `(low, high)`, floats.

    Raises:
        ValueError: as `threshold_at_far` does, for arrays that do not fit each other, and for
            another argument that is not as above.

    Example:

    >>> rng = np.random.default_rng(0)
    >>> people = np.arange(1000) // 5
    >>> low, high = false_accept_interval(
    ...     rng.normal(size=1000), people, rng.normal(size=1000), people, far=0.1
    ... )
    >>> low < 0.1 < high
    True
    """
    check_range("confidence", confidence, above=0, high=1)
    check_count("samples", samples)
    threshold_at_far(calibration, far)  # whether they can show it
    calibration, own, people = _by_score(calibration, calibration_people, "calibration_people")
    test, test_own, test_count = _by_score(test, test_people, "test_people")
    rng = np.random.default_rng(seed)
    rates = np.empty(samples)
    for sample in range(samples):
        weights = _drawn(rng, people)[own]
        threshold = -math.inf if far == 1 else _threshold(calibration, weights, far)
        weights = _drawn(rng, test_count)[test_own]
        rates[sample] = weights[test >= threshold].sum() / weights.sum()
    tail = (1 - confidence) / 2
    low, high = np.quantile(rates, [tail, 1 - tail])
    return float(low), float(high)


def check_far(far):
    check_range("far", far, above=0, high=1)


def checked_fars(fars):
    """False-accept rates, as a tuple.

    Raises:
        ValueError: they are no list of numbers over 0 and at most 1.
    """
    fars = as_tuple("fars", fars, "rates")
    for far in fars:
        check_far(far)
    return fars


def checked_scores(scores):
    scores = np.asarray(scores, "float64")
    if scores.ndim != 1 or len(scores) == 0:
        raise ValueError(
            f"Scores must have the shape (queries,), at least one. Received: {scores.shape}"
        )
    broken = int(np.sum(~np.isfinite(scores)))
    if broken:
        raise ValueError(f"Scores must be finite. Received: {broken} of {len(scores)} that are not")
    return scores


def _threshold(scores, weights, far):
    """The same, of descending scores each of which counts as often as its weight says."""
    passed = np.cumsum(weights)
    first_out = np.searchsorted(passed, allowed(far, passed[-1]), "right")
    # Among the scores above it that are there at all; where none is, one above everything.
    above = scores[:first_out][(weights[:first_out] > 0) & (scores[:first_out] > scores[first_out])]
    return float(above[-1]) if len(above) else float(np.nextafter(scores[first_out], np.inf))


def _by_score(scores, people, name):
    scores = checked_scores(scores)
    people = checked_labels(people, len(scores), name)
    order = np.argsort(-scores, kind="stable")
    names, own = np.unique(people, return_inverse=True)
    return scores[order], own[order], len(names)


def _drawn(rng, people):
    return np.bincount(rng.integers(0, people, people), minlength=people)
