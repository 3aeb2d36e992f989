"""Every head of the published comparison, behind one contract."""

from keras_vsoftmax.heads.angular import AngularSoftmax
from keras_vsoftmax.heads.angular_normface import AngularNormFace
from keras_vsoftmax.heads.arcface import ArcFace
from keras_vsoftmax.heads.base import Head
from keras_vsoftmax.heads.cosface import CosFace
from keras_vsoftmax.heads.large_margin import LargeMarginSoftmax
from keras_vsoftmax.heads.noisy import NoisySoftmax
from keras_vsoftmax.heads.normface import NormFace
from keras_vsoftmax.heads.softmax import Softmax
from keras_vsoftmax.heads.synthetic_virtual import SyntheticVirtualSoftmax
from keras_vsoftmax.heads.virtual import VirtualSoftmax

_HEADS = {
    "softmax": Softmax,
    "virtual": VirtualSoftmax,
    "noisy": NoisySoftmax,
    "large_margin": LargeMarginSoftmax,
    "angular": AngularSoftmax,
    "normface": NormFace,
    "angular_normface": AngularNormFace,
    "arcface": ArcFace,
    "cosface": CosFace,
    "synthetic_virtual": SyntheticVirtualSoftmax,
}
NAMES = tuple(_HEADS)

__all__ = [
    "NAMES",
    "AngularNormFace",
    "AngularSoftmax",
    "ArcFace",
    "CosFace",
    "Head",
    "LargeMarginSoftmax",
    "NoisySoftmax",
    "NormFace",
    "Softmax",
    "SyntheticVirtualSoftmax",
    "VirtualSoftmax",
    "get",
]


def get(identifier, units, **kwargs):
    """Makes a head by its identifier.

    Args:
        identifier: One of `NAMES`.
        units: Integer, at least 2. Number of classes.
        **kwargs: Arguments of the head.

    Returns:
        A head layer.

    Raises:
        ValueError: For an unknown identifier.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.get("virtual", 10).units
    10
    """
    if identifier not in _HEADS:
        raise ValueError(
            f"Unknown head. Known are: {', '.join(NAMES)}. Received: identifier={identifier!r}"
        )
    return _HEADS[identifier](units, **kwargs)
