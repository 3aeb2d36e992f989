"""What is a number of things."""

import numpy as np


def is_count(value):
    """Whether this is a positive integer of Python or NumPy; True is not."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and value > 0
