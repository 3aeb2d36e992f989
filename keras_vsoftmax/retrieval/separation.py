"""Whether one threshold on the score tells pairs of one class from pairs of two."""

import numpy as np
from keras import ops

from keras_vsoftmax.retrieval.scores import Scorer, checked, checked_labels

# Two scores of one bin count as equal.
_BINS = 2**16


def pair_auc(embeddings, labels):
    """Area under the ROC of all pairs of samples, told apart by their cosine.

    It is the probability that two samples of one class have a greater cosine than two of
    different classes, equal ones counted half; cosines are equal within 2/65,536. High
    where one threshold serves for every class, whatever the neighbours are like.

    Args:
        embeddings: float array (samples, d).
        labels: class ids or names, shape (samples,) or (samples, 1).

    Returns:
        float.

    Raises:
        ValueError: shapes that do not fit, embeddings that are not finite, or no pair of one of
            the kinds.

    Example:

    >>> pair_auc([[1, 0], [1, 0.1], [0, 1], [0.1, 1]], [0, 0, 1, 1])
    1.0
    """
    embeddings = checked(embeddings)
    labels = checked_labels(labels, len(embeddings))
    _, classes = np.unique(labels, return_inverse=True)
    scorer = Scorer(embeddings, "cosine")
    prepared = scorer.prepare(embeddings)
    counts = np.zeros((2, _BINS), "int64")
    step = scorer.rows()
    for start in range(0, len(embeddings), step):
        rows = slice(start, start + step)
        scores = ops.convert_to_numpy(scorer.block(prepared[rows]))
        # Rounded, so that 1 and what rounding makes of it are in one bin.
        bins = np.rint((scores.clip(-1, 1) + 1) * (0.5 * (_BINS - 1))).astype("int32")
        later = np.arange(len(embeddings)) > np.arange(start, start + len(scores))[:, None]
        same = classes[rows, None] == classes
        for matched, chosen in enumerate((~same & later, same & later)):
            counts[matched] += np.bincount(bins[chosen], minlength=_BINS)
    return _area(*counts)


def _area(mismatched, matched):
    """The area under the ROC of pairs that are counted by their score, the lowest first."""
    totals = int(matched.sum()), int(mismatched.sum())
    if not all(totals):
        raise ValueError(
            "There must be pairs of one class and pairs of two. "
            f"Received: {totals[0]} and {totals[1]}"
        )
    below = np.cumsum(mismatched) - mismatched
    # Shares, since the product of the totals may pass 64 bits.
    return float(np.sum(matched / totals[0] * ((below + mismatched / 2) / totals[1])))
