"""The nearest items of a gallery."""

import keras
import numpy as np
from keras import ops

from keras_vsoftmax.retrieval.checks import check_k
from keras_vsoftmax.retrieval.scores import Scorer, checked

# Where one value in so many is wanted, groups of values are looked through first.
_GROUP = 32


def nearest(queries, gallery=None, k=1, metric="cosine"):
    """The k nearest gallery items of each query, block by block.

    Args:
        queries: float array (queries, d).
        gallery: float array (gallery, d). `None` takes the queries themselves, each of which is
            then left out of its own neighbours.
        k: int, at most the number of items that a query can have.
        metric: `"cosine"` or `"euclidean"`.

    Returns:
        `(indices, scores)`, int64 and float32 arrays (queries, k), the most alike first: cosines,
        or negative Euclidean distances. The order of equal scores is not fixed.

    Raises:
        ValueError: an argument is not as above, or a vector is not finite.

    Example:

    >>> indices, scores = nearest([[1.0, 0.1]], [[0.0, 1.0], [2.0, 0.2], [1.0, 0.0]], k=2)
    >>> indices.tolist()
    [[1, 2]]
    """
    queries = checked(queries, "queries")
    itself = gallery is None
    gallery = queries if itself else checked(gallery, "gallery")
    check_same_length(queries, gallery)
    check_k(k, len(gallery) - itself, "items to choose from")
    scorer = Scorer(gallery, metric)
    prepared = scorer.prepare(queries)
    indices = np.empty((len(queries), k), "int64")
    scores = np.empty((len(queries), k), "float32")
    step = scorer.rows()
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        block = scorer.block(prepared[rows])
        if itself:
            own = np.arange(start, start + len(prepared[rows]))
            others = own[:, None] != np.arange(len(gallery))
            block = ops.where(ops.convert_to_tensor(others), block, -np.inf)
        values, positions = ops.top_k(block, k)
        scores[rows] = ops.convert_to_numpy(values)
        indices[rows] = ops.convert_to_numpy(positions)
    return indices, scorer.public(scores)


def largest(scores, k):
    """The k largest values of each row, descending, as a NumPy array.

    Args:
        scores: float32 tensor (rows, columns).
        k: int, at most the number of columns.
    """
    rows, columns = scores.shape
    if k * _GROUP <= columns:
        # The k largest values lie in the k groups whose own largest values are the largest.
        whole = columns - columns % _GROUP
        groups = ops.reshape(scores[:, :whole], (rows, -1, _GROUP))
        _, best = ops.top_k(ops.max(groups, axis=2), min(k, whole // _GROUP))
        inside = ops.take_along_axis(groups, best[:, :, None], axis=1)
        scores = ops.concatenate([ops.reshape(inside, (rows, -1)), scores[:, whole:]], axis=1)
    elif keras.backend.backend() != "torch":
        # Sorting in the other backends takes several times as long as NumPy's selection.
        values = ops.convert_to_numpy(scores)
        values = np.partition(values, columns - k, axis=1)[:, columns - k :]
        return np.sort(values, axis=1)[:, ::-1]
    return ops.convert_to_numpy(ops.top_k(scores, k)[0])


def check_same_length(queries, gallery):
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            "`queries` and `gallery` must be embeddings of one length. "
            f"Received: {queries.shape[1]} and {gallery.shape[1]}"
        )
