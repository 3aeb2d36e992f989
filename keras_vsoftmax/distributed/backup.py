"""The backup of a training, for one process and for several workers."""

import contextlib
import json
import math
import pathlib
import shutil

import keras
import numpy as np

from keras_vsoftmax.distributed import strategies
from keras_vsoftmax.keras_gaps import initial_epoch
from keras_vsoftmax.utils.files import atomic_path


class Backup(keras.callbacks.Callback):
    """Back a training up after each epoch, and go on from the backup when it is started again.

    As `keras.callbacks.BackupAndRestore`, whose files it writes and reads, but it survives a kill,
    or a full disk, at any moment. Keras writes both files in place, the weights, then the number
    of the epoch. Here each is there whole or as it was before. Killed between the two, Keras would
    train an epoch twice: the optimizer's own count of steps is in the weights and tells. An epoch
    whose loss is not finite is not backed up, so that nothing goes on from what it left.

    Of several workers the first writes, and all go on from what it wrote, so that no two of them
    resume at different epochs.

    Args:
        folder: Where the backup lies. All workers must see it under this name.
        strategy: What `strategies.get` returned.
        keep: Whether the backup stays when the training ends. Without it the folder is removed,
            so that the next training begins anew.

    Raises:
        ValueError: In `fit`, for a model that is not built.
        OSError: In `fit`, for a backup that cannot be written or read.

    Example:

    ```python
    backup = Backup("shared/backup", strategy)
    model.fit(x, y, epochs=20, callbacks=[backup])
    ```
    """

    def __init__(self, folder, strategy=None, *, keep=False):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.keep = keep
        self.writes = strategies.is_chief(strategy)
        self._diverged = False

    @property
    def weights_path(self):
        """File of the weights and of the optimizer's state."""
        return self.folder / "latest.weights.h5"

    @property
    def metadata_path(self):
        """File with the number of epochs that were trained."""
        return self.folder / "training_metadata.json"

    def on_train_begin(self, logs=None):
        self._diverged = False
        if not self.model.built:
            raise ValueError(
                "A model must be built before a backup can be read into it: call it on a batch, or "
                f"build it by its shape, first. Received: the model {self.model.name!r}"
            )
        if not self.weights_path.exists():
            return
        self.model.optimizer.build(self.model.trainable_variables)
        self.model.load_weights(self.weights_path)
        metadata = {"epoch": 0}
        if self.metadata_path.exists():
            metadata = json.loads(self.metadata_path.read_text())
        # What was trained since the number was written, if it was killed in between.
        ahead = 0
        if self.params["steps"]:  # unknown before the first epoch of a generator
            # Steps skipped by loss scaling are not counted, hence the rounding up.
            steps_before = metadata.get("steps", metadata["epoch"] * self.params["steps"])
            ahead = math.ceil((self._steps() - steps_before) / self.params["steps"])
        initial_epoch.begin_at(self.model, metadata["epoch"] + max(ahead, 0))

    def on_epoch_end(self, epoch, logs=None):
        self._diverged = not np.isfinite((logs or {}).get("loss", 0.0))
        if self.writes and not self._diverged:
            self.write(epoch + 1)

    def on_train_end(self, logs=None):
        initial_epoch.begin_at(self.model, None)
        # Training that stops at such a loss ends in an error, after which one goes on from here.
        if self.writes and not self.keep and not self._diverged:
            shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, epochs):
        """Write the backup of a model that was trained for this number of epochs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.weights_path) as temporary, _full_disk_is_an_os_error():
            self.model.save_weights(temporary)
        with atomic_path(self.metadata_path) as temporary:
            metadata = {"epoch": epochs, "batch": 0, "steps": self._steps()}
            temporary.write_text(json.dumps(metadata))

    def _steps(self):
        return int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))  # mirrored, maybe


@contextlib.contextmanager
def _full_disk_is_an_os_error():
    try:
        yield
    except RuntimeError as error:  # h5py's, when it closes a file that it could not write
        raise OSError(str(error)) from error
