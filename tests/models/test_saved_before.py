"""Files written before the package's folders were moved load, and predict what they predicted."""

import pathlib

import keras
import numpy as np
import pytest

import keras_vsoftmax
from tests.backends import KERAS

FOLDER = pathlib.Path(__file__).with_name("saved")

pytestmark = pytest.mark.core


@pytest.fixture(scope="module")
def expected():
    with np.load(FOLDER / "expected.npz") as arrays:
        return dict(arrays)


@pytest.mark.skipif(KERAS < (3, 15), reason="3.15 wrote it: Keras reads no later Keras's layers")
def test_a_whole_model_loads(expected):
    model = keras.saving.load_model(FOLDER / "virtual.keras")
    assert type(model.head) is keras_vsoftmax.VirtualSoftmax
    assert model.head.label_smoothing == 0.1
    np.testing.assert_allclose(
        model.predict(expected["x"], verbose=0), expected["virtual"], 1e-4, 1e-6
    )
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 4
    history = model.fit(expected["x"], np.arange(16) % 3, verbose=0)
    assert np.isfinite(history.history["loss"][0])


def test_weights_with_a_schedule_load(expected):
    backbone = keras.Sequential([keras.Input((6,), name="image"), keras.layers.Dense(4)])
    head = keras_vsoftmax.heads.get("angular_normface", 3, margin=3, scale=12.0)
    model = keras_vsoftmax.Classifier(backbone, head)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    model.optimizer.build(model.trainable_variables)
    model.load_weights(FOLDER / "angular_normface.weights.h5")
    output = model.predict(expected["x"], verbose=0)
    np.testing.assert_allclose(output, expected["angular_normface"], 1e-4, 1e-6)
    assert int(keras.ops.convert_to_numpy(head.step)) == 4
