"""Losses of all heads, written from their formulas in float64 NumPy, angles with arccos.

One function a head, under its name. One row at a time would be plainer and too slow; the arrays
are (batch, d), (d, classes).
"""

import inspect
from typing import Any, NamedTuple

import numpy as np

EPS = np.finfo("float32").eps
HEADS = {}


class Parts(NamedTuple):
    """What a head makes of a batch: its logits and its loss, and how sharp float32 can be."""

    logits: Any  # z (batch, classes)
    size: Any  # (batch,): the largest of 1, the terms of the logits, and the label's norms
    modified: Any = None  # z' (batch, classes), where it is not z
    virtual: Any = None  # v (batch,)
    extra: Any = 0.0  # (batch,)
    loss: Any = None  # (batch,), where it is no cross-entropy
    scale: Any = None  # s, where features and class vectors are normalised
    conditioning: Any = 1.0  # by how much the formula magnifies an error of the cosine, >= 1
    steepness: Any = 1.0  # by how much more it magnifies that of a gradient
    state: dict = {}  # what no gradient flows through, as arguments of the function


def head(name):
    """Decorator of the oracle of a head: function(x, w, ids, rows, **knobs) -> Parts.

    `ids` is None where the labels are rows; `rows` (batch, classes) has the label smoothing.
    """

    def add(function):
        HEADS[name] = function
        return function

    return add


def logsumexp(z):
    top = z.max(-1, keepdims=True)
    return (top + np.log(np.exp(z - top).sum(-1, keepdims=True)))[..., 0]


def unit(x, axis):
    length = np.linalg.norm(x, axis=axis, keepdims=True)
    return np.divide(x, length, out=np.zeros_like(x), where=length > 0)


def angle(features, kernel, ids):
    """theta_y between features and the label's class vector; pi/2 where one of them is zero."""
    cosine = (unit(features, -1) * unit(kernel, 0)[:, ids].T).sum(-1)
    return np.arccos(np.clip(cosine, -1, 1))


def psi(theta, m):
    k = np.minimum(np.floor(theta * m / np.pi), m - 1)
    return (-1) ** k * np.cos(m * theta) - 2 * k


def from_product(x, w, rows, **parts):
    """Parts of a head with the logits x . w."""
    norms = np.linalg.norm(x, axis=-1) * (rows @ np.linalg.norm(w, axis=0))
    size = np.maximum(np.maximum(1, norms), (np.abs(x) @ np.abs(w)).max(-1))
    return Parts(x @ w, size, **parts)


def from_cosines(x, w, scale, **parts):
    """Parts of a head with the logits s cos theta."""
    terms = scale * (np.abs(unit(x, -1)) @ np.abs(unit(w, 0))).max(-1)
    size = np.maximum(np.maximum(1, scale), terms)
    return Parts(scale * unit(x, -1) @ unit(w, 0), size, scale=scale, **parts)


def with_label(z, ids, target):
    """z with the label's logits replaced."""
    z = z.copy()
    z[np.arange(len(ids)), ids] = target
    return z


def arc_conditioning(theta, margin):
    """d cos(theta + m) / d cos(theta) = sin(theta + m) / sin(theta), beside 1.

    sin(theta) is taken as at least what float32 resolves beside cos(theta) = 1.
    """
    sine = np.maximum(np.sin(theta), np.sqrt(16 * EPS))
    return np.maximum(1, 1 + np.sin(margin) / sine)


@head("softmax")
def softmax(x, w, ids, rows):
    return from_product(x, w, rows)


@head("virtual")
def virtual(x, w, ids, rows):
    v = np.linalg.norm(x, axis=-1) * (rows @ np.linalg.norm(w, axis=0))
    return from_product(x, w, rows, virtual=v)


@head("synthetic_virtual")
def synthetic_virtual(x, w, ids, rows, margin):
    m, norm_w = margin, rows @ np.linalg.norm(w, axis=0)
    h = m * unit(x, -1) - (1 - m) * unit(w, 0)[:, ids].T
    synthetic = norm_w * (unit(h, -1) * x).sum(-1)
    z = x @ w
    right = z[np.arange(len(ids)), ids] >= z.max(-1)
    v = np.where(right, synthetic, norm_w * np.linalg.norm(x, axis=-1))
    # The steepest slope of the virtual cosine, at theta = 0, beside the virtual logit's own error.
    conditioning = 1 + (1 - m) ** 2 / (2 * m - 1) ** 2
    return from_product(x, w, rows, virtual=v, conditioning=conditioning)


@head("noisy")
def noisy(x, w, ids, rows, alpha, noise=0.0):
    length = np.linalg.norm(x, axis=-1) * np.linalg.norm(w, axis=0)[ids]
    cosine = np.cos(angle(x, w, ids))
    target = length * cosine - alpha * length * (1 - cosine) * np.abs(noise)
    return from_product(x, w, rows, modified=with_label(x @ w, ids, target))


@head("large_margin")
def large_margin(x, w, ids, rows, margin, lam=0.0):
    theta = angle(x, w, ids)
    length = np.linalg.norm(x, axis=-1) * np.linalg.norm(w, axis=0)[ids]
    target = length * (lam * np.cos(theta) + psi(theta, margin)) / (1 + lam)
    modified = with_label(x @ w, ids, target)
    return from_product(x, w, rows, modified=modified, steepness=margin**2)


@head("angular")
def angular(x, w, ids, rows, margin, lam=0.0):
    theta = angle(x, w, ids)
    target = np.linalg.norm(x, axis=-1) * (lam * np.cos(theta) + psi(theta, margin)) / (1 + lam)
    modified = with_label(x @ unit(w, 0), ids, target)
    return from_product(x, unit(w, 0), rows, modified=modified, steepness=margin**2)


@head("normface")
def normface(x, w, ids, rows, scale):
    return from_cosines(x, w, scale)


@head("angular_normface")
def angular_normface(x, w, ids, rows, margin, scale, lam=0.0):
    theta = angle(x, w, ids)
    parts = from_cosines(x, w, scale, steepness=margin**2)
    target = scale * (lam * np.cos(theta) + psi(theta, margin)) / (1 + lam)
    return parts._replace(modified=with_label(parts.logits, ids, target))


@head("arcface")
def arcface(x, w, ids, rows, margin, scale):
    theta = angle(x, w, ids)
    easy = scale * (np.cos(theta) - margin * np.sin(margin))
    target = np.where(theta > np.pi - margin, easy, scale * np.cos(theta + margin))
    parts = from_cosines(x, w, scale, conditioning=arc_conditioning(theta, margin))
    return parts._replace(modified=with_label(parts.logits, ids, target))


@head("cosface")
def cosface(x, w, ids, rows, margin, scale):
    parts = from_cosines(x, w, scale)
    target = scale * (np.cos(angle(x, w, ids)) - margin)
    return parts._replace(modified=with_label(parts.logits, ids, target))


@head("hinge")
def hinge(x, w, ids, rows):
    missing = np.maximum(0, 1 - (2 * rows - 1) * (x @ w))
    loss = np.square(missing).sum(-1)
    return from_product(x, w, rows, loss=loss, conditioning=np.maximum(1, 2 * missing.sum(-1)))


@head("subcenter_arcface")
def subcenter_arcface(x, w, ids, rows, margin, scale, sub_centers):
    each = w.reshape(len(w), -1, sub_centers)
    cosines = np.einsum("bd,dck->bck", unit(x, -1), unit(each, 0)).max(-1)
    theta = np.arccos(np.clip(cosines[np.arange(len(ids)), ids], -1, 1))
    easy = scale * (np.cos(theta) - margin * np.sin(margin))
    target = np.where(theta > np.pi - margin, easy, scale * np.cos(theta + margin))
    parts = from_cosines(x, w, scale, conditioning=arc_conditioning(theta, margin))
    z = scale * cosines
    return parts._replace(logits=z, modified=with_label(z, ids, target))


@head("curricular")
def curricular(x, w, ids, rows, margin, scale, t=None):
    parts = arcface(x, w, ids, rows, margin, scale)
    theta = angle(x, w, ids)
    if t is None:
        t = 0.99 * 0 + 0.01 * np.cos(theta).mean()
    cosines = parts.logits / scale
    hard = cosines > np.cos(theta + margin)[:, None]
    modified = scale * np.where(hard, cosines * (t + cosines), cosines)
    target = parts.modified[np.arange(len(ids)), ids]
    modified = with_label(modified, ids, target)
    # d c (t + c) / dc is at most 3.
    conditioning = np.maximum(parts.conditioning, 3)
    return parts._replace(modified=modified, conditioning=conditioning, state={"t": t})


@head("adaface")
def adaface(x, w, ids, rows, margin, scale, concentration, q=None):
    length = np.clip(np.linalg.norm(x, axis=-1), 0.001, 100)
    if q is None:
        mean = 0.99 * 20 + 0.01 * length.mean()
        deviation = 0.99 * 100 + 0.01 * length.std(ddof=1) if len(length) > 1 else 100
        q = np.clip(concentration * (length - mean) / (deviation + 0.001), -1, 1)
    theta = angle(x, w, ids)
    turned = np.cos(np.clip(theta - margin * q, 0, np.pi))
    parts = from_cosines(x, w, scale, conditioning=arc_conditioning(theta, margin))
    target = scale * (turned - margin - margin * q)
    return parts._replace(modified=with_label(parts.logits, ids, target), state={"q": q})


@head("magface")
def magface(x, w, ids, rows, margin, scale, pull, high_margin=0.8):
    a = np.clip(np.linalg.norm(x, axis=-1), 10, 110)
    m = margin + (high_margin - margin) * (a - 10) / 100
    theta = angle(x, w, ids)
    target = scale * np.where(theta < np.pi / 2, np.cos(theta + m), np.cos(theta))
    parts = from_cosines(x, w, scale, conditioning=arc_conditioning(theta, m))
    extra = pull * (1 / a + a / 110**2)
    return parts._replace(modified=with_label(parts.logits, ids, target), extra=extra)


@head("adacos")
def adacos(x, w, ids, rows, s=None):
    classes = w.shape[1]
    first = np.sqrt(2) * np.log(max(classes - 1, 2))
    parts = from_cosines(x, w, first)
    if s is None:
        others = np.exp(parts.logits)
        others[np.arange(len(ids)), ids] = 0
        mean = (others.sum(-1) * (2 if classes == 2 else 1)).mean()
        theta = np.sort(angle(x, w, ids))[(len(ids) - 1) // 2]
        s = max(np.log(mean) / np.cos(min(theta, np.pi / 4)), first / 2)
    # The new scale goes through a logarithm, and a division by at least 0.7.
    size = np.maximum(parts.size, 4 * max(s, first))
    return parts._replace(modified=s / first * parts.logits, size=size, state={"s": s})


@head("sphereface2")
def sphereface2(x, w, ids, rows, margin, scale, balance, power=3.0, loss_weight=50.0):
    classes = w.shape[1]
    parts = from_cosines(x, w, scale)
    z = scale * (2 * ((np.clip(parts.logits / scale, -1, 1) + 1) / 2) ** power - 1)
    right = scale * (2 * 0.5**power - 1)

    def by_bias(b):
        """dL/db at right angles: 0 at the bias, and rising with it."""
        own = balance / (1 + np.exp(right - scale * margin + b))
        return (1 - balance) * (classes - 1) / (1 + np.exp(-right - scale * margin - b)) - own

    low, high = -200.0, 200.0
    for _ in range(100):
        bias = (low + high) / 2
        low, high = (bias, high) if by_bias(bias) < 0 else (low, bias)
    label = np.arange(len(ids)), ids
    each = np.logaddexp(0, z + scale * margin + bias)
    each[label] = 0
    own = np.logaddexp(0, -(z[label] - scale * margin + bias))
    weight = loss_weight / scale
    loss = weight * (balance * own + (1 - balance) * each.sum(-1))
    # d g / d cos is at most t, and each class has a part of its own.
    conditioning = power * np.maximum(1, weight * (balance + (1 - balance) * classes))
    return parts._replace(logits=z, loss=loss, conditioning=conditioning)


def parts(name, features, kernel, labels, smoothing=0.0, **knobs):
    """Parts of a head, for ids (batch,) or rows (batch, classes).

    Of the knobs those are taken that the head has.
    """
    x, w, labels = (
        np.asarray(features, "float64"),
        np.asarray(kernel, "float64"),
        np.asarray(labels),
    )
    if name not in HEADS:
        raise KeyError(f"tests/oracle.py has no function under @head({name!r})")
    known = inspect.signature(HEADS[name]).parameters
    vectors = knobs.get("sub_centers", 1) if "sub_centers" in known else 1
    classes = w.shape[1] // vectors
    rows = labels.astype("float64") if labels.ndim == 2 else np.eye(classes)[labels]
    rows = (1 - smoothing) * rows + smoothing / classes
    ids = None if labels.ndim == 2 else labels
    knobs = {knob: value for knob, value in knobs.items() if knob in known}
    missing = [
        knob.name
        for knob in list(known.values())[4:]
        if knob.default is knob.empty and knob.name not in knobs
    ]
    if missing:
        raise TypeError(
            f"the oracle of {name!r} asks for {', '.join(missing)}, not in the head's `ranges`"
        )
    return HEADS[name](x, w, ids, rows, **knobs), rows


def plain_logits(name, features, kernel, labels, **knobs):
    """z (batch, classes) of a head."""
    return parts(name, features, kernel, labels, **knobs)[0].logits


def losses(name, features, kernel, labels, smoothing=0.0, r=1.0, **knobs):
    """L (batch,) of a head, for ids (batch,) or rows (batch, classes).

    r is how far a virtual class has come in: v' = t + r (v - t) + log r, t the row's mean logit.
    """
    found, rows = parts(name, features, kernel, labels, smoothing, **knobs)
    if found.loss is not None:
        return found.loss
    z = found.logits if found.modified is None else found.modified
    v, target = found.virtual, (rows * z).sum(-1)
    if r < 1:
        v = None if r == 0 else target + r * (v - target) + np.log(r)
    partition = logsumexp(z if v is None else np.concatenate([z, v[:, None]], -1))
    return partition - target + found.extra


def virtual_gradients(features, kernel, labels):
    """Gradients of the sum of the losses of Virtual Softmax to features and kernel, by hand.

    dL/dz_j = p_j - q_j, and dL/dv = p_v, with v = ||x|| sum_c q_c ||W_c||.
    """
    x, w = np.asarray(features, "float64"), np.asarray(kernel, "float64")
    labels = np.asarray(labels)
    rows = labels.astype("float64") if labels.ndim == 2 else np.eye(w.shape[1])[labels]
    norm_x, norm_w = np.linalg.norm(x, axis=-1), np.linalg.norm(w, axis=0)
    z, length = x @ w, rows @ norm_w
    v = norm_x * length
    partition = logsumexp(np.concatenate([z, v[:, None]], -1))[:, None]
    by_z = np.exp(z - partition) - rows
    by_v = np.exp(v[:, None] - partition)
    by_x = by_z @ w.T + by_v * length[:, None] * unit(x, -1)
    by_w = x.T @ by_z + unit(w, 0) * ((by_v * norm_x[:, None]) * rows).sum(0)
    return by_x, by_w


def finite_differences(function, x, step):
    """Central differences of a scalar function of a float64 array."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(*x.shape):
        shifted = [x.copy(), x.copy()]
        shifted[0][index] += step
        shifted[1][index] -= step
        gradient[index] = (function(shifted[0]) - function(shifted[1])) / (2 * step)
    return gradient
