"""What happens around the epochs of a run."""

import json
import time

import keras
import numpy as np

from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.training import recipes, records
from keras_vsoftmax.keras_gaps import jax_state
from keras_vsoftmax.utils.files import atomic_path


class BeginEpoch(keras.callbacks.Callback):
    """Tell whatever draws at random which epoch it is.

    Args:
        *sources: objects with `begin_epoch(epoch)`.
    """

    def __init__(self, *sources):
        super().__init__()
        self.sources = sources

    def on_epoch_begin(self, epoch, logs=None):
        for source in self.sources:
            source.begin_epoch(epoch)


class Progress(keras.callbacks.Callback):
    """Keep the errors of each epoch in a file, and the best model beside it.

    Args:
        path: JSON file with the rows so far, and with what they belong to.
        identity: dict that says which run this is.
        model: what is saved: the trained model without its augmentation.
        best_path: `.keras` file.
        resume: take over the rows of the file.
    """

    def __init__(self, path, identity, model, best_path, resume):
        super().__init__()
        self.path, self.best_path = path, best_path
        self.identity = identity
        self.saved_model = model
        self.rows = _read_rows(path, identity) if resume and path.exists() else []

    def on_epoch_begin(self, epoch, logs=None):
        if len(self.rows) < epoch:
            raise ExperimentError(
                f"{self.path}: has the errors of {len(self.rows)} of the {epoch} epochs that the "
                "backup is of; train the run anew, without --resume"
            )
        # An epoch whose backup was not complete is run again.
        self.rows = self.rows[:epoch]
        self._start, self._train_end = time.perf_counter(), None

    def on_test_begin(self, logs=None):
        self._train_end = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        if not np.isfinite(logs["loss"]):
            return  # `fit` ends with the reason
        if not np.isfinite(logs.get("val_loss", 0.0)):
            raise FloatingPointError(f"The test loss of epoch {epoch + 1} is {logs['val_loss']}")
        end = time.perf_counter()
        train_end = self._train_end or end
        row = {
            "epoch": epoch + 1,
            "iterations": (epoch + 1) * self.params["steps"],
            "loss": float(logs["loss"]),
            "train_error": 100 * (1 - float(logs["accuracy"])),
            "train_seconds": train_end - self._start,
        }
        # Of deep supervision: what the heads at hidden layers lose.
        row.update({key: float(logs[key]) for key in logs if key.startswith("companion_")})
        if "val_loss" in logs:
            row["test_loss"] = float(logs["val_loss"])
            row["test_error"] = 100 * (1 - float(logs["val_accuracy"]))
            row["test_seconds"] = end - train_end
            if "val_top5" in logs:
                row["test_top5_error"] = 100 * (1 - float(logs["val_top5"]))
            if all(row["test_error"] < earlier["test_error"] for earlier in self.rows):
                save_model(self.model, self.saved_model, self.best_path)
        self.rows.append(row)
        records.write({"identity": self.identity, "rows": self.rows}, self.path)


def save_model(trained, model, path):
    """Save `model`, which shares its layers with the model in training, in one piece."""
    jax_state.sync(trained)
    with atomic_path(path) as temporary:
        model.save(temporary)


def _read_rows(path, identity):
    try:
        progress = json.loads(path.read_text())
        before, rows = progress["identity"], progress["rows"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExperimentError(f"{path}: is no readable progress file ({error})") from error
    check_identity(path, before, identity)
    return rows


def check_identity(path, before, now):
    """Refuse to go on with a run, or a search, of other settings.

    Raises:
        ExperimentError: naming the settings that differ.
    """
    if "recipe" in before:
        before = {**before, "recipe": recipes.completed(before["recipe"])}
    before, now = _flat(before), _flat(now)
    different = [
        f"{key} {before.get(key)} before, {now.get(key)} now"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if different:
        raise ExperimentError(
            f"{path}: was begun with other settings; go on with the same ones, or begin anew "
            f"({'; '.join(different)})"
        )


def _flat(settings):
    """As it looks after a round through JSON, nested dicts opened."""
    flat = {}
    for key, value in json.loads(json.dumps(settings)).items():
        flat.update(value if isinstance(value, dict) else {key: value})
    return flat
