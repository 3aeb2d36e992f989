"""Trains under a MirroredStrategy of two logical CPUs, and alone, and compares."""

import contextlib
import functools
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf

from keras_vsoftmax import Classifier, heads
from tests.distributed import processes, training

REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "mean_with_sample_weight")
FLOAT64 = {"policy": "float64"}
IN_BLOCKS = {"knobs": {"block_size": 4}}
# Of 30 classes, so that a global batch of 8 rows fits into the sample.
SAMPLED = {
    "knobs": {
        "units": 30,
        "class_sampling": 0.4,
        "sampling_correction": True,
        "sampling_seed": 1,
    }
}
# The last of three batches has 5 rows, on replicas with 4 and 1, unless it says otherwise.
COMPARED = {
    **{f"head {name}": {"head": name, **FLOAT64} for name in heads.NAMES},
    "a learned scale": {"head": "normface", "knobs": {"scale": "learned"}, **FLOAT64},
    **{f"reduction {name}": {"reduction": name, **FLOAT64} for name in REDUCTIONS},
    **{
        f"ignored labels, reduction {name}": {"reduction": name, "ignore_class": -1, **FLOAT64}
        for name in REDUCTIONS
    },
    **{
        f"{name} in blocks": {"head": name, **IN_BLOCKS, "evaluated": True, **FLOAT64}
        for name in training.BLOCKED
    },
    **{
        f"{name} sampled": {"head": name, **SAMPLED, "evaluated": True, **FLOAT64}
        for name in training.SAMPLED
    },
    "in blocks, ignored labels": {**IN_BLOCKS, "ignore_class": -1, **FLOAT64},
    "no sample weights": {"weighted": False, **FLOAT64},
    "evaluate and predict": {"evaluated": True, **FLOAT64},
    "a replica without rows": {"samples": 17, **FLOAT64},
    "a batch size that does not divide": {"batch_size": 7, **FLOAT64},
    "one step in float32": {"samples": 7, "epochs": 1},
    "batch norm in float32": {"batch_norm": True},
    "batch norm and a replica without rows": {"batch_norm": True, "samples": 17},
    "mixed_bfloat16": {"policy": "mixed_bfloat16", "batch_norm": True},
    "mixed_float16": {"policy": "mixed_float16", "batch_norm": True},
}


def compare(strategy, options):
    alone = training.outcome(contextlib.nullcontext(), **options)
    return training.difference(alone, training.outcome(strategy.scope(), **options))


def plain_keras(strategy):
    """How far Keras's own training is from one device: what the package makes up for."""

    def train(scope):
        keras.utils.set_random_seed(3)
        with scope:
            model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(training.CLASSES)])
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile(keras.optimizers.SGD(0.1), loss)
        x, y, _ = training.data()
        model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
        return {"weights": model.get_weights()}

    return training.difference(train(contextlib.nullcontext()), train(strategy.scope()))


def resumed(strategy):
    """A run that stops after two of four epochs and goes on, against one that does not stop."""
    straight = training.outcome(strategy.scope(), head="angular", epochs=4)
    x, y, weights = training.data()
    with tempfile.TemporaryDirectory() as folder:
        for epochs in (2, 4):
            backup = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
            with strategy.scope():
                model = training.model("angular")
            options = {"sample_weight": weights, "batch_size": 8, "shuffle": False, "verbose": 0}
            model.fit(x, y, epochs=epochs, callbacks=[backup], **options)
    weights_only = {"weights": straight["weights"]}
    return training.difference(weights_only, {"weights": model.get_weights()})


def loaded(strategy):
    """A file saved under the strategy and loaded without it: predictions, and training on."""
    x, y, _ = training.data()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        with strategy.scope():
            model = training.model()
        model.fit(x, y, verbose=0)
        model.save(path)
        other = keras.saving.load_model(path)
    predicted = [{"predicted": [each.predict(x, verbose=0)]} for each in (model, other)]
    other.fit(x, y, verbose=0)
    return training.difference(*predicted)


def noise(strategy):
    """What the replicas make of the same row, and then of the same row without noise."""
    features, labels = tf.ones((1, 4)), tf.constant([1])
    spreads = {}
    for alpha in (1.0, 0.0):
        with strategy.scope():
            head = heads.get("noisy", training.CLASSES, alpha=alpha, seed=3)
            head.build((None, 4))
        outputs = strategy.run(head, args=(features, labels), kwargs={"training": True})
        first, second = (np.asarray(each) for each in strategy.experimental_local_results(outputs))
        spreads[f"alpha {alpha:g}"] = float(np.abs(first - second).max())
    return {**spreads, "step": int(head.step.numpy())}


def local_batch_norm(strategy):
    """Trains batch norm with its own statistics on each replica, where one has no rows."""
    with strategy.scope():
        backbone = keras.Sequential([keras.Input((8,)), keras.layers.BatchNormalization()])
        model = Classifier(backbone, heads.get("virtual", training.CLASSES))
        model.compile("sgd")
    x, y, _ = training.data(17)
    model.fit(x, y, batch_size=8, verbose=0)


def small_batch(strategy):
    with strategy.scope():
        model = training.model()
    x, y, _ = training.data()
    model.fit(x, y, batch_size=1, verbose=0)


def make_cases():
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    cases = {name: functools.partial(compare, strategy, o) for name, o in COMPARED.items()}
    for case in (plain_keras, resumed, loaded, noise, local_batch_norm, small_batch):
        cases[case.__name__] = functools.partial(case, strategy)
    return cases


if __name__ == "__main__":
    processes.main(make_cases)
