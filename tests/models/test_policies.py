"""Dtype policies: ids stay exact, outputs stay in float32 or float64."""

import keras
import numpy as np
import pytest

import keras_vsoftmax
from tests import tiny

pytestmark = pytest.mark.core

BACKEND = keras.backend.backend()
HALF = ["mixed_float16", "mixed_bfloat16"]
# In float16 each of these would become an even number, in bfloat16 a multiple of 8.
IDS = np.array([2049, 2051, 2997, 2999])
UNITS = 3000


def parity_kernel(shape, dtype=None):
    """Class vectors of odd ids are long, those of even ids zero, so that a rounded id shows."""
    odd = keras.ops.cast(keras.ops.arange(shape[1]) % 2, dtype or "float32")
    return keras.ops.ones((shape[0], 1), dtype) * odd


def expected_loss():
    """With features (1, 1, 1, 1): logits and virtual logit are 4 for odd classes."""
    z = 4.0 * (np.arange(UNITS) % 2)
    return np.log(np.exp(z).sum() + np.exp(4.0)) - 4.0


@pytest.mark.parametrize("policy", HALF)
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64"])
def test_ids_stay_exact_through_classifier(policy, dtype):
    keras.config.set_dtype_policy(policy)
    backbone = keras.Sequential([keras.Input((4,)), keras.layers.Activation("linear")])
    head = keras_vsoftmax.VirtualSoftmax(UNITS, kernel_initializer=parity_kernel)
    model = keras_vsoftmax.Classifier(backbone, head)
    model.compile(keras.optimizers.SGD(0.0))
    x = np.ones((4, 4), "float32")
    loss = model.fit(x, IDS.astype(dtype), verbose=0).history["loss"][0]
    assert loss == pytest.approx(expected_loss(), rel=1e-5)
    assert model.predict(x, verbose=0).dtype == "float32"
    assert model.embed(x, verbose=0).dtype == "float32"


@pytest.mark.parametrize("policy", HALF)
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_ids_stay_exact_through_a_label_input(policy, dtype):
    keras.config.set_dtype_policy(policy)
    image, label = keras.Input((4,)), keras.Input((), dtype=dtype)
    features = keras.layers.Activation("linear")(image)
    head = keras_vsoftmax.VirtualSoftmax(UNITS, kernel_initializer=parity_kernel)
    model = keras.Model([image, label], head(features, label))
    model.compile(keras.optimizers.SGD(0.0), keras_vsoftmax.VirtualSoftmaxLoss())
    x = np.ones((4, 4), "float32")
    for ids in (IDS.astype("int32"), IDS.astype("float32")):
        loss = model.fit([x, ids], ids, verbose=0).history["loss"][0]
        assert loss == pytest.approx(expected_loss(), rel=1e-5)


@pytest.mark.parametrize("policy", HALF)
def test_training_under_half_precision_learns(policy):
    keras.config.set_dtype_policy(policy)
    x, y = tiny.data()
    model = tiny.classifier(optimizer=keras.optimizers.Adam(0.05), metrics=["accuracy"])
    history = model.fit(x, y, epochs=20, batch_size=8, verbose=0).history
    assert history["accuracy"][-1] == 1.0
    assert np.isfinite(history["loss"]).all()


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has float64 only where it is switched on")
def test_float64():
    keras.config.set_dtype_policy("float64")
    x, y = tiny.data()
    model = tiny.classifier(run_eagerly=True)
    predicted = model.predict(x, verbose=0)
    assert predicted.dtype == model.embed(x, verbose=0).dtype == "float64"
    np.testing.assert_allclose(np.exp(predicted).sum(-1), 1, atol=1e-14)
    output = keras.ops.convert_to_numpy(model.head(model.embed(x, verbose=0), y, training=True))
    kernel = keras.ops.convert_to_numpy(model.head.kernel)
    expected = tiny.virtual_losses(model.embed(x, verbose=0), kernel, np.eye(3)[y])
    np.testing.assert_allclose(-output[np.arange(24), y], expected, rtol=1e-13)
    loss = model.fit(x, y, batch_size=24, verbose=0).history["loss"][0]
    assert loss == pytest.approx(expected.mean(), rel=1e-6)
