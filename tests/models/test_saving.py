"""Saving a Classifier, and loading it elsewhere."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import keras_vsoftmax
from tests import tiny

pytestmark = pytest.mark.core

BACKEND = keras.backend.backend()
LIMIT = 1200  # seconds, of which an idle machine takes a hundredth

LOAD_AND_PREDICT = """
import sys

import keras_vsoftmax
import keras
import numpy as np

folder = sys.argv[1]
model = keras.saving.load_model(folder + "/model.keras", safe_mode=True)
assert isinstance(model, keras_vsoftmax.Classifier)
x, y = np.load(folder + "/x.npy"), np.load(folder + "/y.npy")
np.save(folder + "/out.npy", model.predict(x, verbose=0))
assert np.isfinite(model.fit(x, y, verbose=0).history["loss"]).all()
"""


@pytest.mark.parametrize("backend", [*dict.fromkeys([BACKEND, "tensorflow"])])
def test_a_file_loads_in_a_fresh_process(backend, tmp_path):
    loads_in_a_fresh_process(backend, tmp_path)


def loads_in_a_fresh_process(backend, tmp_path):
    x, y = tiny.data()
    model = tiny.classifier("large_margin", optimizer="adam", metrics=["accuracy"])
    model.fit(x, y, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    environment = {**os.environ, "KERAS_BACKEND": backend}
    command = [sys.executable, "-c", LOAD_AND_PREDICT, str(tmp_path)]
    subprocess.run(command, env=environment, check=True, timeout=LIMIT)
    predicted = np.load(tmp_path / "out.npy")
    np.testing.assert_allclose(predicted, model.predict(x, verbose=0), atol=1e-5)


@pytest.mark.parametrize("name", ["virtual", "noisy", "angular"])
def test_training_goes_on_after_a_load_as_if_it_had_not_stopped(name, tmp_path):
    """With the optimiser's slots, and the steps that noise and annealing depend on."""
    x, y = tiny.data()
    knobs = {"head_arguments": {"seed": 3}} if name == "noisy" else {}
    loss = keras_vsoftmax.VirtualSoftmaxLoss(ignore_class=-1)
    model = tiny.classifier(name, loss=loss, optimizer="adam", metrics=["accuracy"], **knobs)
    how = {"batch_size": 8, "shuffle": False, "verbose": 0}
    model.fit(x, y, **how)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.loss.ignore_class == -1
    tiny.assert_same_weights(loaded, model, atol=0)
    for one, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(*map(keras.ops.convert_to_numpy, (one, other)))
    histories = [m.fit(x, y, **how).history for m in (model, loaded)]
    assert histories[0]["loss"] == pytest.approx(histories[1]["loss"], rel=1e-6)
    assert histories[0]["accuracy"] == histories[1]["accuracy"]
    tiny.assert_same_weights(loaded, model)


def test_a_file_that_was_never_compiled(tmp_path):
    model = keras_vsoftmax.Classifier(tiny.backbone(), keras_vsoftmax.VirtualSoftmax(3))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x, y = tiny.data()
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    loaded.compile("sgd")
    loaded.fit(x, y, verbose=0)


def test_the_config_holds_all_arguments():
    head = keras_vsoftmax.VirtualSoftmax(
        3, kernel_regularizer="l2", label_smoothing=0.1, dtype="mixed_float16", name="classes"
    )
    model = keras_vsoftmax.Classifier(tiny.backbone(), head, name="faces", trainable=False)
    copy = keras_vsoftmax.Classifier.from_config(model.get_config())
    assert copy.get_config() == model.get_config()
    assert (copy.name, copy.trainable, copy.head.name) == ("faces", False, "classes")


def test_weights_files(tmp_path):
    x, y = tiny.data()
    model = tiny.classifier()
    model.fit(x, y, verbose=0)
    model.save_weights(tmp_path / "all.weights.h5")
    other = tiny.classifier()
    other.load_weights(tmp_path / "all.weights.h5")
    tiny.assert_same_weights(other, model, atol=0)


@pytest.mark.parametrize("head", ["virtual", "noisy"])
def test_weights_of_a_head_of_another_width(head, tmp_path):
    tiny.classifier(head).save_weights(tmp_path / "three.weights.h5")
    wider = tiny.classifier(head, units=5)
    message = r"kernel \(4, 5\).*Received: weights of shapes \[\(4, 3\)"
    with pytest.raises(ValueError, match=message):
        wider.load_weights(tmp_path / "three.weights.h5")
    wider.save_weights(tmp_path / "five.weights.h5")
    wider.load_weights(tmp_path / "five.weights.h5")


def test_backup_and_restore(tmp_path):
    x, y = tiny.data()

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                raise KeyboardInterrupt

    def fit(model, *callbacks):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        how = {"batch_size": 8, "shuffle": False, "verbose": 0, "epochs": 3}
        model.fit(x, y, callbacks=[backup, *callbacks], **how)
        return model

    straight = fit(tiny.classifier("noisy", head_arguments={"seed": 3}))
    with pytest.raises(KeyboardInterrupt):
        fit(tiny.classifier("noisy", head_arguments={"seed": 3}), Stop())
    resumed = fit(tiny.classifier("noisy", head_arguments={"seed": 3}))
    tiny.assert_same_weights(resumed, straight)
