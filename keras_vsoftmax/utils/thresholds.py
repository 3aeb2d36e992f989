"""A threshold on scores, and how many may pass it."""

import math
import numbers


def check_threshold(threshold):
    """Raises a ValueError unless this is a number; -inf lets everybody pass, and inf nobody."""
    number = isinstance(threshold, numbers.Real) and not isinstance(threshold, bool)
    if not number or math.isnan(threshold):
        raise ValueError(
            f"`threshold` must be a number, infinite or not. Received: threshold={threshold!r}"
        )


def allowed(far, count):
    """How many of so many may pass; the small number keeps 0.1 * 30 from being 2."""
    return math.floor(far * count + 1e-9)
