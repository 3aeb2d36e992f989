"""What is a number of things."""

import numpy as np


def is_count(value):
    """Whether this is a positive integer of Python or NumPy; True is not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and value > 0


def check_count(name, value):
    """Raises a ValueError unless this is an integer of at least 1."""
    if not is_count(value):
        raise ValueError(f"`{name}` must be an integer of at least 1. Received: {name}={value!r}")
