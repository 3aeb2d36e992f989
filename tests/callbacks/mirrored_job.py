"""Figures of one model under a MirroredStrategy of two logical CPUs, and alone."""

import contextlib
import functools
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf

from keras_vsoftmax import Classifier, VirtualSoftmax
from keras_vsoftmax.callbacks import IdentificationMetrics, RetrievalMetrics, VerificationMetrics
from keras_vsoftmax.verification import make_pairs
from tests.distributed import processes

SHAPE = (8, 6, 3)
PLACES = ("fit outside of the scope", "fit inside of the scope")


def _faces(folder):
    from PIL import Image

    rng = np.random.default_rng(0)
    images = []
    for person in range(4):
        for number in range(3):
            path = pathlib.Path(folder) / f"p{person}" / f"p{person}_000{number + 1}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 256, SHAPE).astype("uint8")).save(path)
            images.append(f"{path.parent.name}/{path.name}")
    return make_pairs(images, folds=2)


def _figures(scope, fit_scope, pairs, root):
    """What the callbacks write where nothing is learned: the rate is zero."""
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0, 255, (23, *SHAPE)).astype("float32"), np.arange(23) % 3
    with scope:
        backbone = keras.Sequential(
            [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(4)]
        )
        model = Classifier(backbone, VirtualSoftmax(3))
        model.compile(keras.optimizers.SGD(0.0))
    replicas = []

    class Counting(RetrievalMetrics):
        def measure(self, model, verbose):
            replicas.append(model.distribute_strategy.num_replicas_in_sync)
            return super().measure(model, verbose)

    callbacks = [
        Counting(x, y, batch_size=5),
        IdentificationMetrics((x[:4], y[:4] % 2), (x, y), batch_size=5, fars=(1.0, 0.2)),
        VerificationMetrics(pairs, root, batch_size=5),
    ]
    with fit_scope:
        model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=callbacks)
    history = model.history.history
    figures = {name: values for name, values in history.items() if name.startswith("val_")}
    return {**figures, "replicas": replicas}


def compare(strategy, inside):
    with tempfile.TemporaryDirectory() as folder:
        pairs = _faces(folder)
        alone = _figures(contextlib.nullcontext(), contextlib.nullcontext(), pairs, folder)
        fit_scope = strategy.scope() if inside else contextlib.nullcontext()
        return {
            "alone": alone,
            "mirrored": _figures(strategy.scope(), fit_scope, pairs, folder),
        }


def make_cases():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return {place: functools.partial(compare, strategy, i) for i, place in enumerate(PLACES)}


if __name__ == "__main__":
    processes.main(make_cases)
