"""Losses of all heads, written from their formulas in float64 NumPy, angles with arccos.

One row at a time would be plainer and too slow; the arrays are (batch, d), (d, classes).
"""

import numpy as np


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


def plain_logits(name, features, kernel, scale=30.0):
    if name in ("normface", "angular_normface", "arcface", "cosface"):
        return scale * unit(features, -1) @ unit(kernel, 0)
    if name == "angular":
        return features @ unit(kernel, 0)
    return features @ kernel


def label_logit_with_margin(name, features, kernel, ids, knobs, lam, noise):
    """z'_y of the margin heads, or None."""
    theta = angle(features, kernel, ids)
    norm_x = np.linalg.norm(features, axis=-1)
    norm_w = np.linalg.norm(kernel, axis=0)[ids]
    m, s = knobs.get("margin"), knobs.get("scale", 30.0)
    if name == "noisy":
        plain = norm_x * norm_w * np.cos(theta)
        return plain - knobs["alpha"] * norm_x * norm_w * (1 - np.cos(theta)) * np.abs(noise)
    if name == "large_margin":
        length = norm_x * norm_w
        return length * (lam * np.cos(theta) + psi(theta, m)) / (1 + lam)
    if name == "angular":
        return norm_x * (lam * np.cos(theta) + psi(theta, m)) / (1 + lam)
    if name == "angular_normface":
        return s * (lam * np.cos(theta) + psi(theta, m)) / (1 + lam)
    if name == "arcface":
        easy = s * (np.cos(theta) - m * np.sin(m))
        return np.where(theta > np.pi - m, easy, s * np.cos(theta + m))
    if name == "cosface":
        return s * (np.cos(theta) - m)
    return None


def virtual_logit(name, features, kernel, rows, ids, knobs):
    """The virtual logit of the heads that have one, or None."""
    norm_x = np.linalg.norm(features, axis=-1)
    if name == "virtual":
        return norm_x * (rows @ np.linalg.norm(kernel, axis=0))
    if name == "synthetic_virtual":
        m = knobs["margin"]
        norm_w = rows @ np.linalg.norm(kernel, axis=0)
        h = m * unit(features, -1) - (1 - m) * unit(kernel, 0)[:, ids].T
        synthetic = norm_w * (unit(h, -1) * features).sum(-1)
        z = features @ kernel
        right = z[np.arange(len(ids)), ids] >= z.max(-1)
        return np.where(right, synthetic, norm_w * norm_x)
    return None


def losses(name, features, kernel, labels, smoothing=0.0, lam=0.0, noise=0.0, r=1.0, **knobs):
    """L (batch,) of a head, for ids (batch,) or rows (batch, classes).

    r is how far a virtual class has come in: v' = t + r (v - t) + log r, t the row's mean logit.
    """
    features, kernel = np.asarray(features, "float64"), np.asarray(kernel, "float64")
    classes = kernel.shape[1]
    labels = np.asarray(labels)
    rows = labels.astype("float64") if labels.ndim == 2 else np.eye(classes)[labels]
    rows = (1 - smoothing) * rows + smoothing / classes
    ids = None if labels.ndim == 2 else labels
    z = plain_logits(name, features, kernel, knobs.get("scale", 30.0))
    v = virtual_logit(name, features, kernel, rows, ids, knobs)
    if ids is not None:
        target = label_logit_with_margin(name, features, kernel, ids, knobs, lam, noise)
        if target is not None:
            z[np.arange(len(ids)), ids] = target
    if r < 1:
        target = (rows * z).sum(-1)
        v = None if r == 0 else target + r * (v - target) + np.log(r)
    partition = logsumexp(z if v is None else np.concatenate([z, v[:, None]], -1))
    return partition - (rows * z).sum(-1)


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
