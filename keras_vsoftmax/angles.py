"""Cosines, sines and margins of angles, without an arccos."""

import math

import keras
from keras import ops


def root(squared):
    """sqrt(squared), with the gradient 0 at 0: JAX's second derivatives go through it."""
    positive = squared > 0
    return ops.where(positive, ops.sqrt(ops.where(positive, squared, 1.0)), 0.0)


def cosine(dot, length):
    """dot / length, and 0 with the gradient 0 where the length is 0."""
    positive = length > 0
    return ops.where(positive, dot / ops.where(positive, length, 1.0), 0.0)


def sine(cosine):
    """sqrt(1 - cosine^2) for an angle in [0, pi], with the gradient 0 at both ends."""
    return root((1 - cosine) * (1 + cosine))


def circular(name, angle):
    """The function "cos" or "sin" of a float tensor, in its dtype.

    Those of `keras.ops` compute in float32 under float64 on JAX.
    """
    if keras.backend.backend() == "jax":
        import jax

        return getattr(jax.numpy, name)(angle)
    return getattr(ops, name)(angle)


def cosine_of_sum(cosine, angle):
    """cos(theta + angle) from cos(theta), theta in [0, pi], without an arccos.

    Its gradient grows without bound towards the ends, where it is that of cos(theta) cos(angle).

    Args:
        cosine: Float tensor, cos(theta).
        angle: Float, or float tensor like `cosine`.

    Returns:
        Float tensor like `cosine`.
    """
    if isinstance(angle, float):
        cos, sin = math.cos(angle), math.sin(angle)
    else:
        cos, sin = circular("cos", angle), circular("sin", angle)
    return cosine * cos - sine(cosine) * sin


def multiple_angle_margin(cosine, margin):
    """psi(theta) = (-1)^k cos(m theta) - 2k, for theta in [k pi / m, (k + 1) pi / m].

    It falls monotonically from 1 at theta = 0 to 1 - 2m at theta = pi, and is computed as a
    polynomial in cos(theta), without an arccos.

    Args:
        cosine: Float tensor, cos(theta).
        margin: Integer m, at least 1.

    Returns:
        Float tensor like `cosine`.

    Source: Liu et al., "Large-Margin Softmax Loss for Convolutional Neural Networks",
    ICML 2016, equations 5 to 7.
    """
    previous, multiple = ops.ones_like(cosine), cosine
    for _ in range(margin - 1):  # cos((n + 1) t) = 2 cos(t) cos(n t) - cos((n - 1) t)
        previous, multiple = multiple, 2 * cosine * multiple - previous
    k = ops.zeros_like(cosine)
    for i in range(1, margin):
        k = k + ops.cast(cosine <= math.cos(i * math.pi / margin), k.dtype)
    sign = 1 - 2 * (k - 2 * ops.floor(k / 2))
    return sign * multiple - 2 * k
