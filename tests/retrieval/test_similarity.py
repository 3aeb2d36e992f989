import numpy as np
import pytest

from keras_vsoftmax.retrieval.similarity import class_cosines


def _reference(features, labels):
    """The definition, sample by sample."""
    unit = [x / np.linalg.norm(x) for x in features]
    centres = {}
    for k in set(labels.tolist()):
        mean = np.mean([u for u, y in zip(unit, labels) if y == k], axis=0)
        centres[k] = mean / np.linalg.norm(mean)
    intra = np.mean([u @ centres[y] for u, y in zip(unit, labels.tolist())])
    other = np.mean(
        [max(u @ c for k, c in centres.items() if k != y) for u, y in zip(unit, labels.tolist())]
    )
    return intra, other


@pytest.mark.parametrize(("samples", "d", "classes"), [(7, 2, 2), (60, 5, 4), (200, 32, 10)])
def test_against_the_definition(samples, d, classes):
    rng = np.random.default_rng(samples)
    features = rng.normal(size=(samples, d)) * rng.uniform(0.01, 100, size=(samples, 1))
    labels = rng.integers(0, classes, samples) * 3 + 1  # ids with gaps
    np.testing.assert_allclose(
        class_cosines(features, labels), _reference(features, labels), rtol=1e-12
    )
    np.testing.assert_allclose(
        class_cosines(features, labels[:, None]), _reference(features, labels), rtol=1e-12
    )


def test_literal_values():
    half = np.sqrt(0.5)
    intra, other = class_cosines([[1, 0], [0, 2], [-3, 0]], [0, 0, 1])
    np.testing.assert_allclose(intra, (half + half + 1) / 3)
    np.testing.assert_allclose(other, (-1 + 0 - half) / 3, atol=1e-15)


def test_zero_vector_has_no_direction():
    assert class_cosines([[0, 0], [1, 0], [0, 1]], [0, 0, 1]) == (2 / 3, 0.0)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.ones(3), np.arange(3), r"features.shape=\(3,\)"),
        (np.ones((3, 2)), np.arange(4), r"`labels` .* of shape \(4,\)"),
        (np.ones((3, 2)), [0, 1, np.nan], "`labels` must be finite. Received: 1 of 3"),
        (np.ones((3, 2)), np.zeros(3, int), "labels of 1"),
        (np.full((3, 2), np.nan), np.arange(3), "NaN"),
    ],
)
def test_errors_say_what_was_received(features, labels, message):
    with pytest.raises(ValueError, match=message):
        class_cosines(features, labels)
