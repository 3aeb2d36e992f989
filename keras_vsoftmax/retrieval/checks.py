"""Checks of how many neighbours, and which figures, are asked for."""

from keras_vsoftmax.utils.counts import is_count


def check_k(k, most, of):
    """Raises a ValueError unless `k` is an integer from 1 to `most`, the number of `of`."""
    if not is_count(k) or k > most:
        raise ValueError(
            f"`k` must be an integer from 1 to the number of {of}, {most}. Received: k={k!r}"
        )


def check_samples(name, samples):
    """Raises a ValueError unless these are two: images, or what else is embedded, and labels."""
    if not (isinstance(samples, (tuple, list)) and len(samples) == 2):
        length = f" of length {len(samples)}" if hasattr(samples, "__len__") else ""
        raise ValueError(
            f"`{name}` must be (x, y), images and their labels. "
            f"Received: {type(samples).__name__}{length}"
        )


def as_tuple(name, values, of):
    """The values as a tuple.

    Raises:
        ValueError: there is one value, and no list of them.
    """
    try:
        return tuple(values)
    except TypeError:
        raise ValueError(
            f"`{name}` must be a list or tuple of {of}. Received: {name}={values!r}"
        ) from None


def checked_ks(ks):
    """The k of recall@k or top-k, as a tuple.

    Raises:
        ValueError: they are no list of positive integers.
    """
    ks = as_tuple("ks", ks, "positive integers")
    if not all(is_count(k) for k in ks):
        raise ValueError(f"`ks` must be positive integers. Received: ks={ks}")
    return ks
