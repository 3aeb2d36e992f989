import numpy as np
import pytest

from keras_vsoftmax.identification import identification_figures
from keras_vsoftmax.identification.figures import rate_name
from keras_vsoftmax.identification.thresholds import checked_fars
from keras_vsoftmax.retrieval.checks import checked_ks
from tests.retrieval import reference


def _detected(ranks, scores, known, far):
    """The best identification rate of all thresholds whose false-accept rate is within `far`."""
    best = 0.0
    for threshold in [-np.inf, *(np.nextafter(s, np.inf) for s in scores)]:
        passing = scores >= threshold
        if np.mean(passing[~known]) <= far + 1e-12:
            best = max(best, np.mean((passing & (ranks == 1))[known]))
    return best


@pytest.mark.parametrize("kind", ["random", "perfect", "constant", "tied"])
def test_against_the_definitions(kind):
    rng = np.random.default_rng(0)
    known = np.arange(260) % 3 > 0
    ranks = rng.integers(1, 8, 260)
    scores = rng.normal(size=260)
    if kind == "perfect":
        ranks, scores = np.ones(260, int), known + 0.1 * rng.uniform(size=260)
    if kind == "constant":
        scores = np.full(260, 0.5)
    if kind == "tied":
        scores = np.round(scores)
    result = identification_figures(ranks, scores, known, ks=(1, 5), fars=(1, 0.1, 0.02))
    for k in (1, 5):
        assert result.top[k] == pytest.approx(np.mean([r <= k for r in ranks[known]]))
    for far in (1, 0.1, 0.02):
        expected = _detected(ranks, scores, known, far)
        assert result.dir_at_far[far] == pytest.approx(expected), far
    expected = reference.auc(scores[known], scores[~known])
    assert result.auroc == pytest.approx(expected)
    if kind == "perfect":
        assert set(result.to_dict().values()) == {1.0}


def test_what_cannot_be_had_is_left_out():
    only_known = identification_figures([1, 2], [0.5, 0.6], [True, True])
    assert only_known.to_dict() == {"identification_top_1": 0.5, "identification_top_5": 1.0}
    assert "DIR at FAR 0.01         too few queries" in str(only_known)
    only_unknown = identification_figures([0, 0], [0.5, 0.6], [False, False])
    assert only_unknown.to_dict() == {}
    few = identification_figures([1, 1], [0.5, 0.6], [True, False])
    assert set(few.to_dict()) >= {"dir_at_far_1", "identification_auroc"}
    assert "dir_at_far_0_01" not in few.to_dict()


def test_at_a_threshold_and_as_a_table():
    result = identification_figures([1, 1, 2, 0, 0], [3, 1, 3, 2, 0], [1, 1, 1, 0, 0], threshold=2)
    assert result.false_accept_rate == 0.5
    assert result.identified_rate == pytest.approx(1 / 3)
    assert str(result).splitlines()[0] == "3 known and 2 unknown queries"
    assert "  false accepts           50.00 %" in str(result)


def test_names_and_errors():
    assert [rate_name(far) for far in (1.0, 0.1, 0.01, 1e-4)] == ["1", "0_1", "0_01", "0_0001"]
    with pytest.raises(ValueError, match=r"\(2,\), \(3,\), \(2,\)"):
        identification_figures([1, 1], [1, 2, 3], [1, 1])
    for settings, message in (
        (dict(fars=[2]), "far=2"),
        (dict(fars=0.1), "fars=0.1"),
        (dict(ks=(0,)), r"ks=\(0,\)"),
        (dict(ks=1), "ks=1"),
        (dict(threshold=np.nan), "threshold=nan"),
    ):
        with pytest.raises(ValueError, match=f"Received: {message}"):
            identification_figures([1], [1], [1], **settings)


def test_settings_are_checked_before_there_is_a_gallery():
    assert checked_ks([1, np.int64(5)]) == (1, 5)
    assert checked_fars(iter([1, 0.1])) == (1, 0.1)
    for check, wrong in (
        (checked_ks, [True]),
        (checked_ks, 5),
        (checked_fars, [0]),
        (checked_fars, 1),
    ):
        with pytest.raises(ValueError, match="Received: "):
            check(wrong)
