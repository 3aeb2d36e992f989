import keras
import numpy as np
import pytest

from keras_vsoftmax import backbones
from keras_vsoftmax.backbones.maxout import Maxout


@pytest.mark.core
def test_maximum_over_neighbouring_channels_against_numpy():
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 12)).astype("float32")
    for pieces in (1, 2, 3, 12):
        expected = x.reshape(3, 4, 5, 12 // pieces, pieces).max(-1)
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(Maxout(pieces)(x)), expected)
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(Maxout(pieces)(x[:, 0, 0])), expected[:, 0, 0]
        )


def _windows(pixels, size, strides=2):
    """How many windows it takes until every pixel was in one."""
    return -(-(pixels - size) // strides) + 1


def test_pools_reach_the_last_pixel():
    """The sizes of the authors' networks, from their convolutions and pools."""
    backbone = backbones.get("maxout_mnist", (28, 28, 1), width=0.1)
    rows = [layer.output.shape[1] for layer in backbone.layers if layer.name.startswith("max_pool")]
    assert rows == [_windows(21, 4), _windows(9, 4), _windows(6, 2)] == [10, 4, 3]


def test_what_is_below_zero_comes_through_the_pool():
    backbone = backbones.get("maxout_svhn", (32, 32, 3), width=0.05)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Conv2D):  # all units are -1
            kernel, bias = layer.get_weights()
            layer.set_weights([0 * kernel, 0 * bias - 1])
    pools = [layer for layer in backbone.layers if layer.name.startswith("max_pool")]
    outputs = keras.Model(backbone.input, [pool.output for pool in pools])
    for maps in outputs.predict(np.zeros((1, 32, 32, 3)), verbose=0):
        np.testing.assert_array_equal(maps, -1)


def test_norms_of_kernels_are_bounded():
    backbone = backbones.get("maxout_mnist", (28, 28, 1), width=0.1, l2=0)
    bounds = []
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(10 * np.ones(layer.kernel.shape))
            bounded = keras.ops.convert_to_numpy(layer.kernel.constraint(layer.kernel.value))
            bounds.append(np.sqrt(np.square(bounded).sum((0, 1, 2))))
    assert len(bounds) == 3
    for norms, bound in zip(bounds, (0.9, 1.9365, 1.9365)):
        np.testing.assert_allclose(norms, bound, rtol=1e-5)
