"""What a search may vary, and from where to where."""

import collections.abc
import math
import numbers

from keras_vsoftmax import heads as head_lib

# A tuple is a range (low, high), a list the values to choose from, a number a fixed value.
TRAINING = {
    "embedding": [64, 128, 256],
    "learning_rate": (1e-4, 1e-2),
    "weight_decay": (1e-5, 1e-2),
    "batch_size": [64, 128, 256],
}
# What a search begins with, where it does so; the knobs begin with the heads' own defaults.
FIRST = {"learning_rate": 1e-3, "weight_decay": 4e-3}


class _Knobs(collections.abc.Mapping):
    """The default ranges of the knobs of all heads that are registered, as the heads tell them."""

    def __getitem__(self, head):
        if head not in head_lib.NAMES:
            raise KeyError(head)
        return head_lib.find(head).ranges

    def __iter__(self):
        return iter(head_lib.NAMES)

    def __len__(self):
        return len(head_lib.NAMES)


KNOBS = _Knobs()
# What counts is the ratio of two such values, so that they are drawn on a logarithmic scale.
_RATIOS = ("learning_rate", "weight_decay", "scale")
_COUNTS = ("embedding", "batch_size")


def resolve(classes, heads, given):
    """Puts the ranges that a user gave over the default ones, and checks all of them.

    Args:
        classes: Number of classes.
        heads: Identifiers of the heads that are searched.
        given: Dict from a hyperparameter's name to its range; None takes it out of the search.

    Returns:
        `(training, knobs)`: a dict of ranges, and for each head a dict of its knobs' ranges.

    Raises:
        ValueError: For unknown names, empty ranges, and values that the head refuses.
    """
    training = dict(TRAINING)
    knobs = {head: dict(KNOBS[head]) for head in heads}
    for name, values in given.items():
        if name in TRAINING:
            place, key = training, name
        else:
            head, key = _split(name, heads)
            place = knobs[head]
        if values is None:
            place.pop(key, None)
        else:
            check(name, values)
            place[key] = values
    for name in _COUNTS:
        for value in _probes(training.get(name, 1)):
            if not isinstance(value, numbers.Integral) or value < 1:
                raise ValueError(
                    f"`{name}` must be made of integers of at least 1. "
                    f"Received: {name}={training[name]!r}"
                )
    for head in heads:
        for knob, values in knobs[head].items():
            _try_head(head, classes, knob, values)
    return training, knobs


def check(name, values):
    """Raises a ValueError unless `values` is a range, a choice or a number that is not empty."""
    problem = None
    if isinstance(values, tuple):
        if len(values) != 2 or not all(_is_number(value) for value in values):
            problem = "a range is a tuple of two finite numbers (low, high)"
        elif not values[0] < values[1]:
            problem = "the range is empty: low must be less than high"
    elif isinstance(values, list):
        if not values:
            problem = "there is nothing to choose from"
        elif not all(_is_number(value) for value in values):
            problem = "a choice is a list of finite numbers"
        elif len(set(values)) < len(values):
            problem = "a value is there twice"
    elif not _is_number(values):
        problem = (
            "expected a tuple (low, high), a list of values to choose from, one number, or None "
            "to leave it out of the search"
        )
    if problem:
        raise ValueError(f"`{name}`: {problem}. Received: {name}={values!r}")


def declare(hp, name, knob, values, default=None):
    """Registers a hyperparameter.

    Args:
        hp: `keras_tuner.HyperParameters`.
        name: Name of the hyperparameter.
        knob: Name of the argument that it is for.
        values: Its range, see `check`.
        default: What comes first, where the range contains it.

    Returns:
        The value in this trial; None in a scope that is not active.
    """
    if isinstance(values, tuple):
        low, high = values
        # A margin that is 0.5 at first is no integer between 0 and 1.
        known = values if default is None else (*values, default)
        is_integer = all(isinstance(value, numbers.Integral) for value in known)
        return (hp.Int if is_integer else hp.Float)(
            name,
            low,
            high,
            sampling="log" if knob in _RATIOS and low > 0 else "linear",
            default=default if default is not None and low <= default <= high else None,
        )
    if isinstance(values, list):
        if any(isinstance(value, float) for value in values):  # Keras Tuner wants one type
            values = [float(value) for value in values]
        return hp.Choice(name, values, default=default if default in values else None)
    return hp.Fixed(name, values)


def head_default(head, classes, knob):
    """The value that the head's constructor gives a knob."""
    return getattr(head_lib.get(head, classes), knob, None)


def _split(name, heads):
    """The head and the knob that a name such as "arcface_margin" is made of."""
    # The longest first: "angular_normface_scale" is no knob of "angular".
    for head in sorted(KNOBS, key=len, reverse=True):
        if name.startswith(f"{head}_"):
            if head in heads:
                return head, name.removeprefix(f"{head}_")
            raise ValueError(
                f"`{name}` belongs to the head {head!r}, which is not searched. "
                f"Received: heads={tuple(heads)}"
            )
    known = [*TRAINING, *(f"{head}_{knob}" for head in heads for knob in KNOBS[head])]
    raise ValueError(f"Unknown hyperparameter. Known are: {', '.join(known)}. Received: {name!r}")


def _try_head(head, classes, knob, values):
    for value in _probes(values):
        try:
            head_lib.get(head, classes, **{knob: value})
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The head {head!r} refuses {knob}={value!r}: {error} "
                f"Received: {head}_{knob}={values!r}"
            ) from error


def _probes(values):
    """Every value of a choice; the ends and the middle of a range."""
    if isinstance(values, tuple):
        low, high = values
        is_integer = all(isinstance(value, numbers.Integral) for value in values)
        return [low, (low + high) // 2 if is_integer else (low + high) / 2, high]
    return values if isinstance(values, list) else [values]


def _is_number(value):
    is_real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_real and math.isfinite(value)
