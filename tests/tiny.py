"""Tiny data, models and streams for the tests of `Classifier` and of functional models."""

import keras
import numpy as np

import keras_vsoftmax

DIM = 4
UNITS = 3


def data(samples=24, seed=0):
    """Features (samples, DIM), float32, and ids (samples,): classes that can be told apart."""
    rng = np.random.default_rng(seed)
    y = np.arange(samples) % UNITS
    x = 0.3 * rng.normal(size=(samples, DIM)) + 2 * np.eye(UNITS, DIM)[y]
    return x.astype("float32"), y.astype("int32")


def mixup_rows(y, seed=0):
    """Rows of probabilities (samples, UNITS), float32."""
    rng = np.random.default_rng(seed)
    share = rng.uniform(size=(len(y), 1))
    rows = share * np.eye(UNITS)[y] + (1 - share) * np.eye(UNITS)[rng.permutation(y)]
    return rows.astype("float32")


def backbone(seed=0):
    init = [keras.initializers.GlorotUniform(seed=seed + i) for i in range(2)]
    return keras.Sequential(
        [
            keras.Input((DIM,)),
            keras.layers.Dense(8, activation="tanh", kernel_initializer=init[0]),
            keras.layers.Dense(DIM, kernel_initializer=init[1]),
        ]
    )


def classifier(head="virtual", units=UNITS, loss=None, head_arguments=None, **compiling):
    """A compiled classifier, with the same weights each time."""
    init = keras.initializers.GlorotUniform(seed=7)
    head = keras_vsoftmax.heads.get(head, units, kernel_initializer=init, **(head_arguments or {}))
    model = keras_vsoftmax.Classifier(backbone(), head)
    compiling.setdefault("optimizer", keras.optimizers.SGD(0.1))
    model.compile(loss=loss, **compiling)
    return model


def weights(model):
    return [keras.ops.convert_to_numpy(weight) for weight in model.weights]


def assert_same_weights(one, other, atol=1e-6):
    for a, b in zip(weights(one), weights(other), strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


class Batches(keras.utils.PyDataset):
    """The arrays in batches, with the sample weights if there are any."""

    def __init__(self, *arrays, batch_size=8):
        super().__init__()
        self.arrays = arrays
        self.batch_size = batch_size

    def __len__(self):
        return len(self.arrays[0]) // self.batch_size

    def __getitem__(self, index):
        part = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return tuple(array[part] for array in self.arrays)


def virtual_losses(features, kernel, rows, smoothing=0.0):
    """The losses of VirtualSoftmax, from the formula, in float64."""
    features, kernel, rows = (np.asarray(a, "float64") for a in (features, kernel, rows))
    rows = (1 - smoothing) * rows + smoothing / kernel.shape[1]
    z = features @ kernel
    v = np.linalg.norm(features, axis=-1) * (rows @ np.linalg.norm(kernel, axis=0))
    return np.log(np.exp(z).sum(-1) + np.exp(v)) - (rows * z).sum(-1)
