"""Checks of the arguments of heads."""

import math
import numbers


def check_range(name, value, low=None, high=None, above=None, below=None):
    """Raises a ValueError that names what was received unless the value is a finite number with
    low <= value <= high, and above < value < below, as far as they are given."""
    bounds = [
        (f">= {low}", low, lambda: value >= low),
        (f"> {above}", above, lambda: value > above),
        (f"<= {high}", high, lambda: value <= high),
        (f"< {below}", below, lambda: value < below),
    ]
    given = [(text, holds) for text, bound, holds in bounds if bound is not None]
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    number = number and math.isfinite(value)
    if not number or not all(holds() for _, holds in given):
        expected = " and ".join(text for text, _ in given)
        raise ValueError(f"`{name}` must be a finite number {expected}. Received: {name}={value!r}")


def no_softmax(head, argument, value):
    """The error of a head that is asked to go over some of its classes at a time, and cannot."""
    return ValueError(
        f"{type(head).__name__} takes no `{argument}`: its loss is no softmax over the classes. "
        f"Received: {argument}={value}"
    )


def is_integer(value):
    """Whether this is an integer of Python or NumPy; True and False are not."""
    return not isinstance(value, bool) and hasattr(value, "__index__")
