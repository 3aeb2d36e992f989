import numpy as np
import pytest

from keras_vsoftmax.retrieval import pair_auc, scores, separation
from tests.retrieval import reference

pytestmark = pytest.mark.core


def _reference(x, y):
    pairs = [(i, j) for i in range(len(x)) for j in range(i)]
    by_kind = {True: [], False: []}
    for i, j in pairs:
        by_kind[bool(y[i] == y[j])].append(reference.score(x[i], x[j], "cosine"))
    return reference.auc(by_kind[True], by_kind[False])


@pytest.mark.parametrize("block", [2**26, 500])
def test_against_the_definition(block, monkeypatch):
    monkeypatch.setattr(scores, "BLOCK_BYTES", block)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 50)
    x = rng.normal(size=(50, 4)) + np.eye(4)[y]
    assert pair_auc(x, y) == pytest.approx(_reference(x, y), abs=2e-5)


def test_extremes():
    y = np.arange(20) % 4
    assert pair_auc(np.eye(4)[y], y) == 1
    assert pair_auc(np.full((20, 7), 0.3), y) == 0.5
    for labels in (np.zeros(20, int), np.arange(20)):
        with pytest.raises(ValueError, match="There must be pairs of one class and pairs of two"):
            pair_auc(np.ones((20, 2)), labels)


def test_more_pairs_than_64_bits_multiply():
    # As of 200,000 samples of ten classes: 2e9 times 1.8e10 is past 2^63.
    mismatched, matched = np.array([9 * 10**9, 9 * 10**9]), np.array([5 * 10**8, 15 * 10**8])
    # By hand: 3/4 of the matched in the upper bin, half of the mismatched in each.
    assert separation._area(mismatched, matched) == 0.25 * 0.25 + 0.75 * 0.75
