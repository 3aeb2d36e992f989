"""Every head of the published comparison, behind one contract."""

from keras_vsoftmax.heads.base import Head
from keras_vsoftmax.heads.softmax import Softmax
from keras_vsoftmax.heads.virtual import VirtualSoftmax

_HEADS = {
    "softmax": Softmax,
    "virtual": VirtualSoftmax,
}
NAMES = tuple(_HEADS)

__all__ = ["NAMES", "Head", "Softmax", "VirtualSoftmax", "get"]


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
