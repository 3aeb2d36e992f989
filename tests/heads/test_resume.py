"""Runs that are interrupted and go on: schedules and noise go on where they were."""

import keras
import numpy as np
import pytest

import keras_vsoftmax
from keras_vsoftmax import heads

pytestmark = pytest.mark.core

# What makes a head keep the step; the schedule is not over when the run is interrupted.
STATEFUL = {
    "noisy": {"seed": 5},
    "large_margin": {"lambda_gamma": 1.0, "lambda_min": 0.1},
    "angular": {"lambda_gamma": 1.0, "lambda_min": 0.1},
    "angular_normface": {"lambda_gamma": 1.0, "lambda_min": 0.1},
    "virtual": {"warmup_steps": 14},
    "synthetic_virtual": {"warmup_steps": 14},
    "curricular": {},
    "adaface": {},
    "adacos": {},
}
RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 6)).astype("float32")
Y = RNG.integers(0, 3, 64)


class Interrupt(keras.callbacks.Callback):
    """Ends the run as a crash would, in the middle of the third epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 2 and batch == 1:
            raise KeyboardInterrupt

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def make_model(name):
    keras.utils.set_random_seed(3)
    backbone = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])
    model = keras_vsoftmax.Classifier(backbone, heads.get(name, 3, **STATEFUL[name]))
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9))
    return model


def fit(model, *callbacks):
    model.fit(X, Y, batch_size=16, epochs=4, shuffle=False, verbose=0, callbacks=list(callbacks))


@pytest.mark.parametrize("name", STATEFUL)
def test_backup_and_restore_ends_in_the_same_weights(name, tmp_path):
    straight = make_model(name)
    fit(straight)
    interrupted = make_model(name)
    with pytest.raises(KeyboardInterrupt):
        fit(interrupted, keras.callbacks.BackupAndRestore(tmp_path), Interrupt())
    resumed = make_model(name)
    fit(resumed, keras.callbacks.BackupAndRestore(tmp_path))
    assert len(resumed.head.weights) > 1
    if hasattr(resumed.head, "step"):
        assert int(keras.ops.convert_to_numpy(resumed.head.step)) == 16
    for a, b in zip(resumed.get_weights(), straight.get_weights()):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_files_carry_the_step(suffix, tmp_path):
    model = make_model("noisy")
    fit(model)
    path = tmp_path / f"model{suffix}"
    if suffix == ".keras":
        model.save(path)
        loaded = keras.saving.load_model(path)
    else:
        model.save_weights(path)
        loaded = make_model("noisy")
        loaded.optimizer.build(loaded.trainable_variables)
        loaded.load_weights(path)
    assert int(keras.ops.convert_to_numpy(loaded.head.step)) == 16
