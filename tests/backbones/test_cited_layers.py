"""What every new layer must do: shapes known before, saving, half precision, odd sizes."""

import functools

import keras
import numpy as np
import pytest

from keras_vsoftmax.backbones.active_convolution import ActiveConv2D
from keras_vsoftmax.backbones.learned_pooling import GatedPooling2D, MixedPooling2D, TreePooling2D
from keras_vsoftmax.backbones.local_response import LocalResponseNormalization
from keras_vsoftmax.backbones.maxout import Maxout
from keras_vsoftmax.backbones.recurrent_conv import RecurrentConv2D

LAYERS = {
    "maxout": functools.partial(Maxout, 2),
    "mixed": MixedPooling2D,
    "gated": functools.partial(GatedPooling2D, kernel_regularizer="l2"),
    "tree": functools.partial(TreePooling2D, 3, kernel_regularizer="l2"),
    "lrn": functools.partial(LocalResponseNormalization, size=3),
    "recurrent": functools.partial(RecurrentConv2D, 5, iterations=2, kernel_regularizer="l2"),
    "recurrent_batch": functools.partial(RecurrentConv2D, 5, iterations=1, normalization="batch"),
    "active": functools.partial(ActiveConv2D, 5, strides=2, kernel_regularizer="l2"),
}


@pytest.mark.core
@pytest.mark.parametrize("name", LAYERS)
def test_shape_saving_and_precision(name, tmp_path):
    x = np.random.default_rng(0).normal(size=(2, 7, 5, 4)).astype("float32")
    image = keras.Input((None, None, 4))
    layer = LAYERS[name]()
    model = keras.Model(image, layer(image))
    output = model.predict(x, verbose=0)
    assert output.shape == layer.compute_output_shape(x.shape)
    assert np.isfinite(output).all()
    assert model.output_shape == (None, None, None, output.shape[-1])

    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.predict(x, verbose=0), output)
    assert again.layers[-1].get_config() == layer.get_config()
    assert len(again.losses) == len(model.losses)

    half = type(layer).from_config({**layer.get_config(), "dtype": "mixed_bfloat16"})
    half.build(x.shape)
    half.set_weights(layer.get_weights())
    rounded = half(x)
    assert keras.backend.standardize_dtype(rounded.dtype) == "bfloat16"
    assert {weight.dtype for weight in half.trainable_weights} <= {"float32"}
    rounded = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(rounded, "float32")))
    np.testing.assert_allclose(rounded, output, atol=0.03 * np.abs(output).max())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Maxout(0), "pieces=0"),
        (lambda: Maxout(True), "pieces=True"),
        (lambda: Maxout(3)(np.ones((2, 4))), r"multiple of pieces=3. Received: .*\(2, 4\)"),
        (lambda: MixedPooling2D(pool_size=0), "pool_size=0"),
        (lambda: GatedPooling2D(strides=1.5), "strides=1.5"),
        (lambda: TreePooling2D(0), "levels=0"),
        (lambda: LocalResponseNormalization(size=4), "size=4"),
        (lambda: RecurrentConv2D(8, iterations=-1), "iterations=-1"),
        (lambda: RecurrentConv2D(8, normalization="layer"), "normalization='layer'"),
        (lambda: RecurrentConv2D(0), "filters=0"),
        (lambda: ActiveConv2D(8, kernel_size=2), "kernel_size=2"),
        (lambda: ActiveConv2D(8, kernel_size=5, reach=1), "at least 2.*reach=1"),
        (lambda: ActiveConv2D(8, kernel_size=1, strides=2), "strides=2"),
        (lambda: ActiveConv2D(8, warmup=-1), "warmup=-1"),
        (lambda: ActiveConv2D(8, position_rate=-1.0), "position_rate=-1.0"),
        (lambda: ActiveConv2D(8, dtype="mixed_float16"), "dtype=mixed_float16"),
    ],
)
def test_errors_say_what_was_received(make, message):
    with pytest.raises(ValueError, match=message):
        make()
