"""Which way each figure is better."""

import re

_GREATER = (
    r"recall_at_\d+",
    "r_precision",
    "map_at_r",
    "mrr",
    "nmi",
    "ami",
    "verification_accuracy",
    "verification_auc",
    r"tar_at_far_[\d_]+",
    r"identification_top_\d+",
    r"dir_at_far_[\d_]+",
    "identification_auroc",
)
_LESS = ("verification_eer",)


def direction(name):
    """Which way a figure of this package's callbacks is better.

    Args:
        name: str, as in the logs, such as `val_recall_at_1`.

    Returns:
        `"max"`, `"min"`, or `None` for a name that is none of theirs.

    Example:

    >>> direction("val_recall_at_1"), direction("val_verification_eer"), direction("val_loss")
    ('max', 'min', None)
    """
    if not name.startswith("val_"):
        return None
    for found, patterns in (("max", _GREATER), ("min", _LESS)):
        if any(re.fullmatch(pattern, name.removeprefix("val_")) for pattern in patterns):
            return found
    return None
