"""What every test starts from: quiet TensorFlow, one seed, the heads of the package."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest

from keras_vsoftmax.heads import registry


@pytest.fixture(autouse=True)
def _seeded():
    keras.utils.set_random_seed(1234)
    known = registry.names()
    yield
    for name in set(registry.names()) - set(known):  # the example of a page, for one
        registry.forget(name)
    keras.config.set_dtype_policy("float32")
    keras.config.set_floatx("float32")
    _allow_any_operations()


def _allow_any_operations():
    """Undoes what a run of the experiments asks TensorFlow for: Keras does not jit under it."""
    if keras.backend.backend() == "tensorflow":
        from tensorflow.python.framework import config  # there is no public way back

        config.disable_op_determinism()


@pytest.fixture
def face_folder():
    """A function that writes a folder tree of tiny faces, PERSON/PERSON_0001.SUFFIX.

    Each person is a pattern of its own, each image that pattern with noise.
    """
    image_module = pytest.importorskip("PIL.Image")

    def write(root, people=4, images=3, size=(28, 24), channels=3, suffix=".png"):
        rng = np.random.default_rng(people)
        for person in range(people):
            pattern = rng.uniform(0, 255, (*size, channels))
            folder = root / f"p{person:02d}"
            folder.mkdir(parents=True)
            for number in range(1, images + 1):
                pixels = np.clip(pattern + rng.normal(0, 20, pattern.shape), 0, 255)
                image = image_module.fromarray(pixels.astype("uint8").squeeze())
                image.save(folder / f"p{person:02d}_{number:04d}{suffix}")
        return root

    return write
