import keras
import numpy as np
import pytest

from keras_vsoftmax.backbones.learned_pooling import GatedPooling2D, MixedPooling2D, TreePooling2D
from tests import backends

pytestmark = pytest.mark.core

X = np.random.default_rng(0).normal(size=(2, 7, 6, 3))


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _windows(x, size=3, strides=2):
    """The pixels of each window, NaN beyond the image: (batch, rows, columns, channels, size²)."""
    before, after = [], []
    for pixels in x.shape[1:3]:
        total = max((-(-pixels // strides) - 1) * strides + size - pixels, 0)
        before.append(total // 2)
        after.append(total - total // 2)
    pads = ((0, 0), (before[0], after[0]), (before[1], after[1]), (0, 0))
    padded = np.pad(x, pads, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    windows = windows[:, ::strides, ::strides]
    return windows.reshape(*windows.shape[:4], size * size)


def _built(layer):
    layer.build(X.shape)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return layer, [keras.ops.convert_to_numpy(w).astype("float64") for w in layer.weights]


def _call(layer, x=X):
    return keras.ops.convert_to_numpy(layer(x.astype("float32")))


def test_mixed_against_numpy():
    layer, (mix,) = _built(MixedPooling2D())
    windows = _windows(X)
    share = _sigmoid(mix)
    expected = share * np.nanmax(windows, -1) + (1 - share) * np.nanmean(windows, -1)
    np.testing.assert_allclose(_call(layer), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("size", "strides"), [(3, 2), (2, 2), (3, 1)])
def test_gated_against_numpy(size, strides):
    layer, (gate,) = _built(GatedPooling2D(size, strides))
    windows = _windows(X, size, strides)
    share = _sigmoid(np.nansum(windows * gate.ravel(), -1))
    expected = share * np.nanmax(windows, -1) + (1 - share) * np.nanmean(windows, -1)
    np.testing.assert_allclose(_call(layer), expected, rtol=1e-5, atol=1e-6)


def _tree(windows, leaves, gates):
    """By recursion from the root, where the layer goes up from the leaves."""
    answers = [np.nansum(windows * leaf, -1) for leaf in leaves]
    shares = [_sigmoid(np.nansum(windows * gate, -1)) for gate in gates]

    def node(first, last, gate_of):
        if last - first == 1:
            return answers[first]
        middle = (first + last) // 2
        share = shares[gate_of[first, last]]
        left, right = node(first, middle, gate_of), node(middle, last, gate_of)
        return share * left + (1 - share) * right

    # The gates are numbered level by level from the leaves up, in each from left to right.
    gate_of, width = {}, 2
    while width <= len(leaves):
        for first in range(0, len(leaves), width):
            gate_of[first, first + width] = len(gate_of)
        width *= 2
    return node(0, len(leaves), gate_of)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_tree_against_numpy(levels):
    layer, weights = _built(TreePooling2D(levels))
    filters = [weight.reshape(9, -1).T for weight in weights]
    leaves, gates = filters[0], filters[1] if levels > 1 else []
    assert len(leaves), len(gates) == (2 ** (levels - 1), 2 ** (levels - 1) - 1)
    expected = _tree(_windows(X), leaves, gates)
    np.testing.assert_allclose(_call(layer), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", [MixedPooling2D, GatedPooling2D, TreePooling2D])
def test_every_weight_learns(make):
    layer, weights = _built(make())
    x = X.astype("float32")

    def output(*weights):
        return layer.stateless_call(list(weights), [], x)[0]

    _, gradients = backends.value_and_gradients(output, *[w.astype("float32") for w in weights])
    for weight, gradient in zip(weights, gradients, strict=True):
        assert gradient.shape == weight.shape
        assert (np.abs(gradient) > 1e-3).all()
