"""Scores of queries against a gallery, block by block, on the device of the Keras backend."""

import numpy as np
from keras import ops

from keras_vsoftmax.utils.vectors import unit

METRICS = ("cosine", "euclidean")

# Scores that differ by less than rounding can make them differ are ties. It is relative to the
# greatest score that vectors of these lengths can have.
TIE = 1e-6

# Bytes of one block of scores. A handful of arrays of this size are alive at a time.
BLOCK_BYTES = 2**26

_FAR_AWAY = 1e15  # in units of the gallery's largest coordinate


class Scorer:
    """Scores against a gallery: the greater, the more alike.

    `cosine` is `q·g / (‖q‖ ‖g‖)`, 0 where either one is the zero vector. `euclidean` is
    `-‖q - g‖² / (2 s²)` with s a scale of the gallery, which keeps the order of the distances
    and cannot overflow; `distances` undoes it.

    Args:
        gallery: float32 array (gallery, d), finite, from `checked`.
        metric: `"cosine"` or `"euclidean"`.

    Raises:
        ValueError: for another metric.
    """

    def __init__(self, gallery, metric):
        if metric not in METRICS:
            raise ValueError(
                f"`metric` must be one of {', '.join(METRICS)}. Received: metric={metric!r}"
            )
        self.metric = metric
        self.size, self.dim = gallery.shape
        if metric == "cosine":
            gallery = unit(gallery)
        else:
            self._scale = max(np.max(np.abs(gallery)), np.finfo("float32").tiny)
            # Seen from their middle the vectors are short, and little is lost by cancellation. One
            # that is far away does not move the median.
            self._centre = np.median(gallery / self._scale, axis=0)
            gallery = self._shifted(gallery)
            self._halves = ops.convert_to_tensor(_half_squares(gallery))
        # The order that a product with blocks of queries needs.
        self._columns = ops.transpose(ops.convert_to_tensor(gallery))

    def prepare(self, queries):
        """The queries as `block` takes them, normalised or shifted."""
        return unit(queries) if self.metric == "cosine" else self._shifted(queries)

    def ties(self, queries, scores):
        """How far below such a score others still count as equal to it.

        Args:
            queries: prepared queries (queries, d).
            scores: NumPy scores (queries, k), -inf where there is none.

        Returns:
            float32 array (queries, k), or one number for all.
        """
        if self.metric == "cosine":
            return TIE
        squares = 2 * _half_squares(queries)[:, None]
        # As long as an item at this distance may be: others, far away, have nothing to do with it.
        longest = np.sqrt(squares) + np.sqrt(np.maximum(-2 * scores, 0))
        return TIE * (squares + np.square(longest))

    def block(self, queries):
        """Scores (queries, gallery) of some prepared queries, a float32 tensor."""
        product = ops.matmul(ops.convert_to_tensor(queries), self._columns)
        if self.metric == "cosine":
            return product
        return product - self._halves - ops.convert_to_tensor(_half_squares(queries))[:, None]

    def public(self, scores):
        """What a user sees of NumPy scores: cosines, or negative distances `-‖q - g‖`."""
        if self.metric == "cosine":
            return np.clip(scores, -1, 1)
        return -self._scale * np.sqrt(np.maximum(-2 * scores, 0))

    def rows(self):
        """How many queries a block has."""
        return max(1, min(4096, BLOCK_BYTES // (4 * self.size)))

    def _shifted(self, vectors):
        # Seen from so far away that their squares overflow, all items are at one distance.
        vectors = np.clip(vectors / self._scale, -_FAR_AWAY, _FAR_AWAY)
        return vectors - self._centre


def checked(vectors, name="embeddings"):
    """Embeddings as float32.

    Raises:
        ValueError: they are not of the shape (samples, d), or some are not finite; the message
            counts those.
    """
    vectors = np.asarray(vectors)
    # To NumPy, bfloat16 is of the kind "V".
    if vectors.ndim != 2 or 0 in vectors.shape or vectors.dtype.kind not in "fiuV":
        raise ValueError(
            f"`{name}` must be numbers of the shape (samples, d), at least one. "
            f"Received: {vectors.dtype} of shape {vectors.shape}"
        )
    with np.errstate(over="ignore"):  # a float64 that float32 cannot hold is counted below
        vectors = vectors.astype("float32", copy=False)
    broken = int(np.sum(~np.isfinite(vectors).all(axis=1)))
    if broken:
        raise ValueError(
            f"`{name}` must be finite. Received: {broken} of {len(vectors)} rows with NaN or "
            "infinity"
        )
    return vectors


def checked_labels(labels, samples, name="labels"):
    """Labels of the shape (samples,), integers or text; names in bytes are read as UTF-8.

    Raises:
        ValueError: for another shape or kind, and for floats that are no ids.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind == "O" and labels.size:  # as pandas and h5py keep names
        labels = _without_objects(labels, name)
    if labels.dtype.kind == "S":
        labels = _decoded(labels, name)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (samples,) or labels.dtype.kind not in "iufUb":
        raise ValueError(
            f"`{name}` must be class ids or names of the shape ({samples},) or ({samples}, 1). "
            f"Received: {labels.dtype} of shape {labels.shape}"
        )
    return _ids(labels, name) if labels.dtype.kind == "f" else labels


def _without_objects(labels, name):
    """Objects of one kind as an array of that kind; others as they are."""
    kinds = {type(each) for each in labels.flat}
    text, raw = kinds <= {str, np.str_}, kinds <= {bytes, np.bytes_}
    if not (text or raw) and kinds <= {str, np.str_, bytes, np.bytes_}:
        raise ValueError(
            f"`{name}` must be names that are all text or all bytes; `.decode()` makes text of "
            "bytes. Received: both"
        )
    if text or raw or all(issubclass(kind, (int, np.integer)) for kind in kinds):
        return np.array(labels.tolist())
    return labels


def _decoded(labels, name):
    try:
        return np.char.decode(labels, "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"`{name}` must be text, or bytes in UTF-8. Received: {error.object!r}"
        ) from error


def _ids(labels, name):
    """Floats that are integers, as int64."""
    labels = labels.astype("float64")
    broken = int(np.sum(~np.isfinite(labels)))
    if broken:
        raise ValueError(
            f"`{name}` must be finite. Received: {broken} of {len(labels)} with NaN or infinity"
        )
    if not np.array_equal(labels, np.rint(labels)):
        raise ValueError(f"`{name}` must be class ids. Received: floats that are not integral")
    largest = np.max(np.abs(labels), initial=0)
    if largest >= 2.0**63:
        raise ValueError(f"`{name}` must be ids below 2**63. Received: {largest}")
    return labels.astype("int64")


def _half_squares(vectors):
    return 0.5 * np.einsum("nd,nd->n", vectors, vectors)
