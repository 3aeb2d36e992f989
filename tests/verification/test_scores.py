"""Scores of embedding pairs against loops."""

import math

import numpy as np
import pytest

from keras_vsoftmax.verification import cosine_scores, euclidean_scores


def test_scores_of_random_pairs():
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 20, 7)).astype("float32")
    for a, b, cosine, distance in zip(
        first, second, cosine_scores(first, second), euclidean_scores(first, second)
    ):
        dot = sum(float(x) * float(y) for x, y in zip(a, b))
        lengths = math.hypot(*map(float, a)) * math.hypot(*map(float, b))
        assert cosine == pytest.approx(dot / lengths, abs=1e-12)
        assert distance == pytest.approx(-math.dist(map(float, a), map(float, b)), abs=1e-12)


def test_zero_vectors_are_like_nothing():
    assert cosine_scores(np.zeros((2, 3)), [[0, 0, 0], [1, 2, 3]]).tolist() == [0.0, 0.0]


def test_nan_is_not_like_nothing():
    assert np.isnan(cosine_scores([[np.nan, 1.0]], [[1.0, 1.0]])).all()


def test_lengths_beyond_single_precision():
    a = np.array([[3e30, 4e30], [3e-30, 4e-30]], "float32")
    np.testing.assert_allclose(cosine_scores(a, a), [1.0, 1.0], rtol=1e-12)


def test_cosine_stays_within_one():
    vectors = np.random.default_rng(1).normal(size=(500, 3))
    assert cosine_scores(vectors, 3 * vectors).max() <= 1.0


def test_unit_embeddings_are_ordered_alike():
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=(2, 50, 5))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    assert (
        np.argsort(cosine_scores(first, second)).tolist()
        == np.argsort(euclidean_scores(first, second)).tolist()
    )


@pytest.mark.parametrize("score", [cosine_scores, euclidean_scores])
def test_shapes_must_agree(score):
    with pytest.raises(ValueError, match=r"shapes \(2, 3\) and \(2, 4\)"):
        score(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(3,\)"):
        score(np.zeros(3), np.zeros(3))
