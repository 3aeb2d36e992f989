"""The heads by name. Whatever lists heads asks here: search, tables, scripts, tests."""

_HEADS = {}
_FACTS = ("title", "formula", "source")


def register(identifier):
    """Make a head known by a name, as a decorator of its class.

    It then takes part wherever heads are named: `get`, `NAMES`, the search space, the tables and
    figures of the experiments, the scripts.

    Args:
        identifier: String of lower-case letters, digits and underscores.

    Returns:
        A decorator that returns the class.

    Raises:
        ValueError: For a name that is malformed or taken, a class that is no `Head`, and one
            without the facts `title`, `formula` and `source`.

    Example: see `Head`.
    """
    if not (isinstance(identifier, str) and identifier.isidentifier() and identifier.islower()):
        raise ValueError(
            "`identifier` must be made of lower-case letters, digits and underscores. "
            f"Received: identifier={identifier!r}"
        )

    def add(head):
        from keras_vsoftmax.heads.base import Head  # which is made known by no name of its own

        if not (isinstance(head, type) and issubclass(head, Head)):
            raise ValueError(f"What is registered must be a class of `Head`. Received: {head!r}")
        missing = [fact for fact in _FACTS if not getattr(head, fact)]
        if missing:
            raise ValueError(
                f"A head tells its {', '.join(_FACTS)}. Received: {head.__name__} without "
                f"{', '.join(missing)}"
            )
        if _HEADS.get(identifier, head) is not head:
            raise ValueError(
                f"The name {identifier!r} is that of {_HEADS[identifier].__name__}. "
                f"Received: {head.__name__}"
            )
        _HEADS[identifier] = head
        return head

    return add


def forget(identifier):
    """Take a head out again, as tests do with one of their own."""
    del _HEADS[identifier]


def names():
    """The identifiers of all heads, in the order in which they were registered."""
    return tuple(_HEADS)


def find(identifier):
    """Return the class of a head by its identifier.

    Args:
        identifier: One of `NAMES`.

    Returns:
        A subclass of `Head`, with the facts `title`, `formula`, `source` and `ranges`.

    Raises:
        ValueError: For an unknown identifier.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.find("arcface").title
    'ArcFace'
    """
    if identifier not in _HEADS:
        raise ValueError(
            f"Unknown head. Known are: {', '.join(_HEADS)}. Received: identifier={identifier!r}"
        )
    return _HEADS[identifier]


def get(identifier, units, **kwargs):
    """Make a head by its identifier.

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
    return find(identifier)(units, **kwargs)
