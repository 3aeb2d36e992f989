"""What the tests of all heads share: knobs, awkward points, random ones, and the bounds."""

import collections.abc

import keras
import numpy as np

from keras_vsoftmax import heads
from tests import oracle

EPS = np.finfo("float32").eps


class _Knobs(collections.abc.Mapping):
    """One set of knobs a head: what it searches, at its defaults."""

    def __getitem__(self, name):
        if name not in heads.NAMES:
            raise KeyError(name)
        head = heads.get(name, 5)
        return {knob: getattr(head, knob) for knob in heads.find(name).ranges}

    def __iter__(self):
        return iter(heads.NAMES)

    def __len__(self):
        return len(heads.NAMES)


KNOBS = _Knobs()
TAKES_ROWS = tuple(name for name in heads.NAMES if heads.find(name).accepts_rows)
ANNEALED = tuple(name for name in heads.NAMES if heads.find(name).scheduled)
# One of each kind: with norms, with cosines, with several vectors, with changed logits, with state.
VARIOUS = ("virtual", "arcface", "subcenter_arcface", "curricular", "adacos")


def vectors(name):
    """How many class vectors a class has, with the knobs above."""
    return heads.get(name, 2, **KNOBS[name]).class_vectors


def widened(name, kernel):
    """A kernel with as many class vectors a class as the head has; the first are those given."""
    more = [(0.5 + i) * np.roll(kernel, i, axis=0) for i in range(1, vectors(name))]
    stacked = np.stack([kernel, *more], axis=-1)
    return stacked.reshape(len(kernel), -1).astype(kernel.dtype)


def make(name, kernel, label_smoothing=0.0, lam=None, **knobs):
    """A head with this kernel; `lam` fixes lambda where the head anneals one."""
    if lam is not None:
        knobs |= {"lambda_base": lam, "lambda_power": 0.0, "lambda_min": 0.0}
    dtype = "float64" if kernel.dtype == "float64" else "float32"
    if name == "noisy":
        knobs.setdefault("seed", 7)
    if label_smoothing:
        knobs["label_smoothing"] = label_smoothing
    units = kernel.shape[1] // vectors(name)
    head = heads.get(name, units, dtype=dtype, **knobs)
    head.build((None, kernel.shape[0]))
    head.kernel.assign(kernel)
    return head


def smooths(name):
    """Whether the head takes label smoothing."""
    try:
        heads.get(name, 5, label_smoothing=0.1)
    except ValueError:
        return False
    return True


def awkward_points():
    """(name, features, kernel, ids): where norms, angles and ties are at their limits."""
    rng = np.random.default_rng(5)
    kernel = rng.normal(size=(6, 5)).astype("float32")
    zero_class = kernel.copy()
    zero_class[:, 2] = 0
    ids = np.array([0, 1, 2, 3, 4, 2])
    features = rng.normal(size=(6, 6)).astype("float32")
    along = (kernel[:, ids].T * np.array([[1e-6], [0.1], [1], [3], [30], [1e4]])).astype("float32")
    mixed = features.copy()
    mixed[::2] = 0
    equal = np.repeat(rng.normal(size=(6, 1)), 5, axis=1).astype("float32")
    yield "random", features, kernel, ids
    yield "along the class vector", along, kernel, ids
    yield "against the class vector", -along, kernel, ids
    yield "zero features", mixed, kernel, ids
    yield "zero class vector", features, zero_class, ids
    yield "both zero", mixed, zero_class, ids
    yield "equal logits", features, equal, ids
    yield "tiny", features * np.float32(1e-6), kernel, ids
    yield "huge", features * np.float32(1e4), kernel, ids
    yield "one dimension", features[:, :1], kernel[:1], ids


def random_points(count, seed=0, largest=(64, 512, 2000)):
    """(features, kernel, ids) of random sizes and scales; a third along the class vectors."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        batch = int(rng.integers(1, largest[0] + 1))
        dim = int(np.exp(rng.uniform(0, np.log(largest[1] + 1))))
        classes = int(np.exp(rng.uniform(np.log(2), np.log(largest[2] + 1))))
        scale = 10 ** rng.uniform(-6, 4)
        kernel = rng.normal(size=(dim, classes)) * rng.choice([0.05, 1.0])
        ids = rng.integers(0, classes, batch)
        features = rng.normal(size=(batch, dim)) if i % 3 else kernel[:, ids].T
        yield (features * scale).astype("float32"), kernel.astype("float32"), ids


def loss_bound(name, features, kernel, ids, knobs, loss, **more):
    """How far a float32 loss may be from the truth: 2e-6 L + 8 eps M, times the conditioning."""
    parts, _ = oracle.parts(name, features, kernel, ids, **knobs, **more)
    return 2e-6 * np.abs(loss) + 8 * EPS * parts.size * parts.conditioning


def points(name="softmax", seed=0, batch=32, dim=8, classes=7):
    """Features, a kernel for this head, and ids."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(batch, dim)).astype("float32")
    kernel = rng.normal(size=(dim, classes)).astype("float32")
    return features, widened(name, kernel), rng.integers(0, classes, batch)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def output_of(head, *args, **kwargs):
    value = head(*args, **kwargs)
    return numpy(value.detach() if hasattr(value, "detach") else value)
