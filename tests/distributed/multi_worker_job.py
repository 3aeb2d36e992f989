"""One worker of a MultiWorkerMirroredStrategy: what it does is named by the variable TASK."""

import contextlib
import functools
import os
import signal

import keras

from keras_vsoftmax.distributed import strategies
from keras_vsoftmax.distributed.backup import Backup
from tests.distributed import processes, training

# The last of three batches has 5 rows, on workers with 4 and 1, or 1 row, on one worker alone.
COMPARED = {
    "everything in float64": {"head": "angular", "policy": "float64", "evaluated": True},
    "a worker without rows": {"policy": "float64", "evaluated": True, "samples": 17},
    "batch norm in float32": {"batch_norm": True, "evaluated": True},
}
EPOCHS = 4


def compare(strategy, options):
    together = training.outcome(strategy.scope(), **options)
    return training.difference(training.outcome(contextlib.nullcontext(), **options), together)


def plain_keras(strategy):
    """Trains and evaluates without this package."""
    with strategy.scope():
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(training.CLASSES)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    x, y, _ = training.data()
    model.fit(x, y, batch_size=8, verbose=0)
    return {"evaluated": model.evaluate(x, y, batch_size=8, verbose=0)}


class KillMe(keras.callbacks.Callback):
    """Kills its worker in the middle of an epoch, that which the variable KILLED_IN names."""

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (str(self.epoch), batch) == (os.environ.get("KILLED_IN"), 1):
            os.kill(os.getpid(), signal.SIGKILL)


def backed_up(strategy):
    """Trains with a backup, and reports which epochs it ran and the weights at the end."""
    with strategy.scope():
        model = training.model("angular", policy="float64")
    backup = Backup(os.environ["BACKUP"], strategy, keep=True)
    x, y, _ = training.data()
    options = {"epochs": EPOCHS, "batch_size": 8, "shuffle": False, "verbose": 0}
    history = model.fit(x, y, callbacks=[backup, KillMe()], **options)
    return {"epochs": history.epoch, "weights": [w.tolist() for w in model.get_weights()]}


def make_cases():
    strategy = strategies.get("multiworker")
    backup = {"backed_up": functools.partial(backed_up, strategy)}
    if os.environ["TASK"] == "backup":
        return backup
    compared = {name: functools.partial(compare, strategy, o) for name, o in COMPARED.items()}
    return {**compared, **backup, "plain_keras": functools.partial(plain_keras, strategy)}


if __name__ == "__main__":
    processes.main(make_cases)
