import keras
import numpy as np
import pytest

from keras_vsoftmax import backbones
from keras_vsoftmax.backbones.local_response import LocalResponseNormalization
from keras_vsoftmax.backbones.recurrent_conv import RecurrentConv2D

X = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype("float32")


def _numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


@pytest.mark.core
@pytest.mark.parametrize("size", [1, 5, None])
def test_local_response_against_numpy(size):
    x = 3 * np.random.default_rng(0).normal(size=(2, 3, 17))
    half = (3 if size is None else size) // 2  # 17 / 8 + 1
    expected = np.empty_like(x)
    for k in range(17):
        near = x[..., max(0, k - half) : k + half + 1]
        scale = 1 + 0.5 / (2 * half + 1) * np.square(near).sum(-1)
        expected[..., k] = x[..., k] / scale**0.75
    layer = LocalResponseNormalization(size, alpha=0.5)
    np.testing.assert_allclose(_numpy(layer(x.astype("float32"))), expected, rtol=1e-5)


@pytest.mark.core
def test_without_iterations_it_is_a_convolution():
    layer = RecurrentConv2D(16, iterations=0)
    output = _numpy(layer(X))
    plain = keras.layers.Conv2D(16, 3, padding="same", activation="relu")
    plain.build(X.shape)
    plain.set_weights(layer.get_weights())
    np.testing.assert_allclose(
        output, _numpy(LocalResponseNormalization()(plain(X))), rtol=1e-5, atol=1e-6
    )
    layer = RecurrentConv2D(16, iterations=0, normalization=None)
    layer(X)
    layer.set_weights(plain.get_weights())
    np.testing.assert_allclose(_numpy(layer(X)), _numpy(plain(X)), rtol=1e-5, atol=1e-6)


def _convolution(x, kernel):
    """Padding "same", odd kernel, in float64."""
    size = kernel.shape[0]
    pad = size // 2
    padded = np.pad(x.astype("float64"), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    return np.einsum("bmncij,ijcf->bmnf", windows, kernel)


@pytest.mark.core
def test_three_iterations_against_numpy():
    layer = RecurrentConv2D(4, iterations=3, normalization=None)
    output = _numpy(layer(X))
    feed_forward, bias, recurrent = (_numpy(w).astype("float64") for w in layer.weights)
    bias = bias + 0.1
    layer.feed_forward.bias.assign(bias)
    driven = _convolution(X, feed_forward) + bias
    state = np.maximum(driven, 0)
    for _ in range(3):
        state = np.maximum(driven + _convolution(state, recurrent), 0)
    np.testing.assert_allclose(_numpy(layer(X)), state, rtol=1e-4, atol=1e-5)
    assert np.abs(output - state).max() > 1e-3  # the bias counts


@pytest.mark.core
def test_the_kernels_begin_apart_and_are_shared_by_the_iterations():
    layers = [RecurrentConv2D(4, iterations=t, normalization=None) for t in (1, 5)]
    for layer in layers:
        layer.build((None, 6, 5, 4))
        assert [w.path.split("/", 1)[1] for w in layer.weights] == [
            "feed_forward/kernel",
            "feed_forward/bias",
            "recurrent/kernel",
        ]
        first, _, second = (_numpy(w) for w in layer.weights)
        assert np.abs(first - second).max() > 0.1


@pytest.mark.core
def test_batch_norm_has_the_statistics_of_each_iteration():
    synchronized = keras.backend.backend() == "tensorflow"  # Keras has it nowhere else
    layer = RecurrentConv2D(
        4,
        iterations=2,
        normalization="batch",
        synchronized=synchronized,
        recurrent_initializer="he_normal",
    )
    layer(X, training=True)
    means = [_numpy(norm.moving_mean) for norm in layer.norms]
    assert len(means) == 3
    assert np.abs(means[0] - means[1]).max() > 1e-3
    assert np.abs(means[1] - means[2]).max() > 1e-3
    assert all(norm.synchronized == synchronized for norm in layer.norms)


@pytest.mark.parametrize("normalization", ["lrn", "batch"])
def test_the_network_by_an_argument(normalization):
    backbone = backbones.get(
        "recurrent_conv", (12, 12, 3), width=0.1, iterations=1, normalization=normalization
    )
    layers = [layer for layer in backbone.layers if isinstance(layer, RecurrentConv2D)]
    assert [layer.normalization for layer in layers] == [normalization] * 4
    assert backbone.predict(np.zeros((1, 12, 12, 3)), verbose=0).shape == (1, 10)
