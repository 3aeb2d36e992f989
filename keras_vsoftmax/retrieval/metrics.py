"""How often the neighbours of an embedding are of its own class."""

import dataclasses

import keras
import numpy as np
from keras import ops

from keras_vsoftmax.retrieval.checks import checked_ks
from keras_vsoftmax.retrieval.neighbours import check_same_length, largest
from keras_vsoftmax.retrieval.scores import Scorer, checked, checked_labels


@dataclasses.dataclass(frozen=True, eq=False)
class RetrievalResult:
    """What the neighbours of some queries amount to. `print` it for a table.

    Attributes:
        recall_at: dict from K to the share of queries with one of their class among the K
            nearest. `recall_at[1]` is precision@1.
        r_precision, map_at_r, mrr: floats, means over the queries.
        queries: int, how many queries the means are over.
        left_out: int, how many had no item of their class in the gallery.
        gallery: int, its items.
        metric: `"cosine"` or `"euclidean"`.
        kept: int array (queries,), the places of the queries among those that were given.
        first_rank, r_precisions, average_precisions: arrays (queries,) of the single queries: the
            rank of the first item of its class, from 1, its R-precision, its average precision
            at R.
    """

    recall_at: dict
    r_precision: float
    map_at_r: float
    mrr: float
    queries: int
    left_out: int
    gallery: int
    metric: str
    kept: np.ndarray
    first_rank: np.ndarray
    r_precisions: np.ndarray
    average_precisions: np.ndarray

    def to_dict(self):
        """The figures by names such as `recall_at_1` and `map_at_r`, floats from 0 to 1."""
        figures = {f"recall_at_{k}": value for k, value in self.recall_at.items()}
        return {
            **figures,
            "r_precision": self.r_precision,
            "map_at_r": self.map_at_r,
            "mrr": self.mrr,
        }

    def __str__(self):
        names = {
            "recall_at_1": "recall@1 (precision@1)",
            "r_precision": "R-precision",
            "map_at_r": "MAP@R",
            "mrr": "MRR",
        }
        lines = [
            f"{self.queries:,} queries on {self.gallery:,} items by {self.metric}, "
            f"{self.left_out:,} left out"
        ]
        for key, value in self.to_dict().items():
            name = names.get(key, key.replace("recall_at_", "recall@"))
            shown = f"{value:.4f}" if key == "mrr" else f"{100 * value:.2f} %"
            lines.append(f"{name:<24}{shown:>9}")
        return "\n".join(lines)


def retrieval_metrics(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    metric="cosine",
    ks=(1, 2, 4, 8),
    verbose=0,
):
    """Measure retrieval: whether the nearest items of a query are of its class.

    With R the number of gallery items of the query's class and rank_k the rank of the k-th
    nearest of them:

        recall@K    = 1 if rank_1 <= K, else 0
        R-precision = #{k : rank_k <= R} / R
        MAP@R       = 1/R Σ_{k : rank_k <= R} k / rank_k
        MRR         = 1 / rank_1

    each a mean over the queries. A query without an item of its class is left out, and counted.
    Ties: of items with one score, those of other classes come first, so that an embedding that
    has collapsed gains nothing by the order of the gallery. Cosines are equal within 1e-6. Squared
    distances d² are equal within 2e-6 (‖q‖² + (‖q‖ + d)²), q the query seen from the gallery's
    median, which is what float32 can tell apart.

    The scores are computed in blocks on the device of the Keras backend; memory does not grow
    with the product of queries and items.

    Args:
        embeddings: float array (queries, d), as `Classifier.embed` gives them.
        labels: class ids or names, shape (queries,) or (queries, 1).
        gallery: float array (items, d). `None` looks for each query among the other queries
            (leave-one-out).
        gallery_labels: as `labels`, for the gallery.
        metric: `"cosine"` or `"euclidean"`.
        ks: the K of recall@K, positive ints.
        verbose: 1 shows a progress bar, 0 nothing.

    Returns:
        `RetrievalResult`.

    Raises:
        ValueError: shapes that do not fit, embeddings that are not finite, an empty gallery, or
            not a single query with an item of its class.

    Example:

    >>> result = retrieval_metrics([[1, 0], [2, 0.1], [0, 1], [0.1, 1], [1, 1]], [0, 0, 1, 1, 2])
    >>> result.recall_at[1], result.left_out
    (1.0, 1)

    Source: R-precision and MAP@R as in K. Musgrave, S. Belongie, S. Lim, "A Metric Learning
    Reality Check", ECCV 2020.
    """
    queries = checked(embeddings)
    labels = checked_labels(labels, len(queries))
    itself = gallery is None
    if itself != (gallery_labels is None):
        raise ValueError(
            "`gallery` and `gallery_labels` belong together. Received: only one of them"
        )
    if itself:
        gallery, gallery_labels = queries, labels
    else:
        gallery = checked(gallery, "gallery")
        gallery_labels = checked_labels(gallery_labels, len(gallery), "gallery_labels")
        check_same_length(queries, gallery)
    ks = checked_ks(ks)

    by_class, starts, sizes, group, partners = _class_columns(labels, gallery_labels, itself)
    kept = np.flatnonzero(partners > 0)
    # In the order of R, so that the rows of a block have about as many partners.
    kept = kept[np.lexsort((group[kept], partners[kept]))]
    own_column = np.argsort(by_class)[kept] if itself else np.full(len(kept), -1)
    first, precision, average = _measure(
        Scorer(gallery[by_class], metric),
        queries[kept],
        starts[group[kept]],
        sizes[group[kept]],
        own_column,
        verbose,
    )
    order = np.argsort(kept)
    kept, first, precision, average = (a[order] for a in (kept, first, precision, average))
    return RetrievalResult(
        recall_at={int(k): float(np.mean(first <= k)) for k in ks},
        r_precision=float(np.mean(precision)),
        map_at_r=float(np.mean(average)),
        mrr=float(np.mean(1 / first)),
        queries=len(kept),
        left_out=len(queries) - len(kept),
        gallery=len(gallery),
        metric=metric,
        kept=kept,
        first_rank=first,
        r_precisions=precision,
        average_precisions=average,
    )


def check_partners(labels, gallery_labels=None):
    """See without any embedding whether `retrieval_metrics` can measure with these labels.

    Args:
        labels: array (queries,), from `checked_labels`.
        gallery_labels: array (items,), likewise; `None` is leave-one-out.

    Raises:
        ValueError: one side has ids and the other names, or no query has an item of its class.
    """
    itself = gallery_labels is None
    _class_columns(labels, labels if itself else gallery_labels, itself)


def _class_columns(labels, gallery_labels, itself):
    """Where the items of each query's class are.

    With the gallery in the order of its classes, those of a query are neighbouring columns.

    Returns:
        `(by_class, starts, sizes, group, partners)`: that order; the first column and the number
        of columns of each class; of each query its class, and how many items share it.
    """
    if (labels.dtype.kind == "U") != (gallery_labels.dtype.kind == "U"):
        raise ValueError(
            "`labels` and `gallery_labels` must both be ids or both be names. "
            f"Received: {labels.dtype} and {gallery_labels.dtype}"
        )
    by_class = np.argsort(gallery_labels, kind="stable")
    classes, starts, sizes = np.unique(
        gallery_labels[by_class], return_index=True, return_counts=True
    )
    group = np.searchsorted(classes, labels).clip(max=len(classes) - 1)
    partners = np.where(classes[group] == labels, sizes[group] - itself, 0)
    if not np.any(partners > 0):
        raise ValueError(
            f"There must be a query with an item of its class. Received: {len(labels)} queries, "
            f"none with one among {len(gallery_labels)} items"
        )
    return by_class, starts, sizes, group, partners


def _measure(scorer, queries, starts, sizes, own_columns, verbose):
    """Rank of the first partner, R-precision and average precision at R of each query.

    The partners of query i are the columns from starts[i] on, sizes[i] of them, but for
    own_columns[i].
    """
    prepared = scorer.prepare(queries)
    first = np.empty(len(queries), "int64")
    precision, average = np.empty((2, len(queries)))
    columns = ops.arange(scorer.size, dtype="int32")
    bar = keras.utils.Progbar(len(queries), unit_name="query", verbose=verbose)
    start, step = 0, scorer.rows()
    while start < len(queries):
        rows = slice(start, min(start + step, len(queries)))
        widest = _padded(int(sizes[rows].max()), scorer.size)
        scores = scorer.block(prepared[rows])
        partners = _partners(scores, starts[rows], sizes[rows], own_columns[rows], widest)
        begin = ops.convert_to_tensor(starts[rows, None].astype("int32"))
        end = ops.convert_to_tensor((starts + sizes)[rows, None].astype("int32"))
        others = ops.where((columns >= begin) & (columns < end), -np.inf, scores)
        nearest_others = largest(others, widest)
        thresholds = partners - scorer.ties(prepared[rows], partners)
        for i, row in enumerate(range(rows.start, rows.stop)):
            count = sizes[row] - (own_columns[row] >= 0)
            # How many of other classes come before each partner; what is beyond R is cut off.
            before = np.searchsorted(-nearest_others[i, :count], -thresholds[i, :count], "right")
            places = np.arange(1, count + 1)
            ranks = before + places
            within = ranks <= count
            first[row] = ranks[0]
            precision[row] = np.count_nonzero(within) / count
            average[row] = np.sum((places / ranks)[within]) / count
        beyond = first[rows] > sizes[rows] - (own_columns[rows] >= 0)
        if beyond.any():
            above = others >= ops.convert_to_tensor(thresholds[:, :1])
            first[rows] = 1 + ops.convert_to_numpy(ops.sum(ops.cast(above, "int32"), axis=1))
        start = rows.stop
        bar.update(start)
    return first, precision, average


def _partners(scores, starts, sizes, own_columns, widest):
    """Scores of the partners of each row, descending, filled up with -inf; NumPy."""
    columns = starts[:, None] + np.arange(widest)
    absent = (columns >= (starts + sizes)[:, None]) | (columns == own_columns[:, None])
    columns = np.minimum(columns, scores.shape[1] - 1).astype("int32")
    found = ops.convert_to_numpy(ops.take_along_axis(scores, ops.convert_to_tensor(columns), 1))
    return -np.sort(np.where(absent, np.inf, -found), axis=1)


def _padded(count, most):
    """At least `count`, one of few values: the backends compile anew for each shape."""
    step = max(1, 2 ** (int(count - 1).bit_length() - 3)) if count > 1 else 1
    return min(most, -(-count // step) * step)
