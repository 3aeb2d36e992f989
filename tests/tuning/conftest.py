"""A problem and a search space that cost next to nothing."""

import gc

import keras
import numpy as np
import pytest

from keras_vsoftmax import tuning

CLASSES = 3
FEATURES = 6


class EagerSpace(tuning.HeadHyperModel):
    """Without compilation, which would take most of the time of a trial this small."""

    def build(self, hp):
        model = super().build(hp)
        model.run_eagerly = True
        return model


@pytest.fixture(scope="module", autouse=True)
def quick_collection():
    """Keras Tuner collects garbage before each trial: spare it the imported libraries."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, 48)
    x = rng.normal(size=(48, FEATURES)) + 3 * np.eye(FEATURES)[y]
    return x.astype("float32"), y


@pytest.fixture
def backbone():
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((FEATURES,)), keras.layers.Dense(8, "relu")])


@pytest.fixture
def space(backbone):
    """A function that makes a search space, every setting of which can be overridden."""

    def make(backbone=backbone, **settings):
        cheap = {"embedding": [4, 8], "learning_rate": (1e-3, 1e-1), "batch_size": [12, 24]}
        return EagerSpace(backbone, CLASSES, **{**cheap, **settings})

    return make
