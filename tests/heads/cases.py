"""What the tests of all heads share: knobs, awkward points, random ones, and the bounds."""

import numpy as np

from keras_vsoftmax import heads
from tests import oracle

EPS = np.finfo("float32").eps

# One set of knobs a head: the defaults, with the randomness off or named.
KNOBS = {
    "softmax": {},
    "virtual": {},
    "noisy": {"alpha": 0.3},
    "large_margin": {"margin": 2},
    "angular": {"margin": 4},
    "normface": {"scale": 30.0},
    "angular_normface": {"margin": 4, "scale": 30.0},
    "arcface": {"margin": 0.5, "scale": 30.0},
    "cosface": {"margin": 0.35, "scale": 30.0},
    "synthetic_virtual": {"margin": 0.6},
}
SCALED = ("normface", "angular_normface", "arcface", "cosface")
TAKES_ROWS = ("softmax", "virtual")
ANNEALED = ("large_margin", "angular", "angular_normface")


def make(name, kernel, label_smoothing=0.0, lam=None, **knobs):
    """A head with this kernel; `lam` fixes lambda where the head anneals one."""
    if lam is not None:
        knobs |= {"lambda_base": lam, "lambda_power": 0.0, "lambda_min": 0.0}
    dtype = "float64" if kernel.dtype == "float64" else "float32"
    if name == "noisy":
        knobs.setdefault("seed", 7)
    head = heads.get(name, kernel.shape[1], label_smoothing=label_smoothing, dtype=dtype, **knobs)
    head.build((None, kernel.shape[0]))
    head.kernel.assign(kernel)
    return head


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


def magnitude(name, features, kernel, ids, knobs):
    """M of the design: the largest of 1, the virtual logit, and the terms of the logits."""
    x, w = np.abs(features.astype("float64")), np.abs(kernel.astype("float64"))
    norm_x, norm_w = np.linalg.norm(x, axis=-1), np.linalg.norm(w, axis=0)[ids]
    if name in SCALED:
        x, norm_x, w = knobs["scale"] * oracle.unit(x, -1), knobs["scale"], oracle.unit(w, 0)
        norm_w = 1.0
    elif name == "angular":
        w, norm_w = oracle.unit(w, 0), 1.0
    return np.maximum(np.maximum(1, norm_x * norm_w), (x @ w).max(-1))


def conditioning(name, features, kernel, ids, knobs):
    """By how much the head's formula itself magnifies an error of the cosine, at least 1.

    For arcface d cos(theta + m) / d cos(theta) = sin(theta + m) / sin(theta), where sin(theta)
    is taken as at least what float32 resolves beside cos(theta) = 1. For synthetic_virtual the
    steepest slope of the virtual cosine, (1 - m)^2 / (2m - 1)^2 at theta = 0, beside the
    virtual logit's own error.
    """
    if name == "arcface":
        theta = oracle.angle(features.astype("float64"), kernel.astype("float64"), ids)
        sine = np.maximum(np.sin(theta), np.sqrt(16 * EPS))
        return np.maximum(1, 1 + np.sin(knobs["margin"]) / sine)
    if name == "synthetic_virtual":
        m = knobs["margin"]
        return 1 + (1 - m) ** 2 / (2 * m - 1) ** 2
    return 1.0


def loss_bound(name, features, kernel, ids, knobs, loss):
    """How far a float32 loss may be from the truth: 2e-6 L + 8 eps M, times the conditioning."""
    size = magnitude(name, features, kernel, ids, knobs)
    return 2e-6 * loss + 8 * EPS * size * conditioning(name, features, kernel, ids, knobs)
