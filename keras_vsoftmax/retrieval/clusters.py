"""Whether clusters that are found without labels are the classes."""

import numpy as np

from keras_vsoftmax.retrieval.scores import checked, checked_labels
from keras_vsoftmax.utils.extras import require
from keras_vsoftmax.utils.vectors import unit


def cluster_agreement(embeddings, labels, *, metric="cosine", seed=0):
    """NMI and AMI between the classes and as many k-means clusters, both from scikit-learn.

    The normalised mutual information rises with the number of clusters by chance alone; the
    adjusted one does not.

    Args:
        embeddings: float array (samples, d).
        labels: class ids or names, shape (samples,) or (samples, 1).
        metric: `"cosine"` clusters vectors of unit length, `"euclidean"` those that are given.
        seed: int, of the clusters' start.

    Returns:
        dict with the floats `nmi` and `ami`, 1 where clusters and classes are the same.

    Raises:
        ValueError: shapes that do not fit, embeddings that are not finite, or labels that are all
            alike or all different, of which any clustering is right.
        ImportError: scikit-learn is not installed.

    Example:

    >>> cluster_agreement([[1, 0], [2, 0.1], [0, 1], [0.1, 1]], [0, 0, 1, 1])
    {'nmi': 1.0, 'ami': 1.0}

    Source: N. X. Vinh, J. Epps, J. Bailey, "Information Theoretic Measures for Clusterings
    Comparison", JMLR 11, 2010.
    """
    cluster = require("sklearn.cluster", extra="retrieval", feature="cluster_agreement")
    measures = require("sklearn.metrics", extra="retrieval", feature="cluster_agreement")
    embeddings = checked(embeddings)
    labels = checked_labels(labels, len(embeddings))
    if metric not in ("cosine", "euclidean"):
        raise ValueError(f"`metric` must be cosine or euclidean. Received: metric={metric!r}")
    vectors = unit(embeddings) if metric == "cosine" else embeddings
    classes = check_classes(labels)
    # More clusters than distinct vectors cannot be found.
    classes = min(classes, len(np.unique(vectors, axis=0)))
    found = cluster.KMeans(classes, n_init=3, random_state=seed).fit_predict(vectors)
    return {
        "nmi": float(measures.normalized_mutual_info_score(labels, found)),
        "ami": float(measures.adjusted_mutual_info_score(labels, found)),
    }


def check_classes(labels):
    """How many classes there are, where clusters can be compared with them.

    Args:
        labels: array (samples,), from `checked_labels`.

    Raises:
        ValueError: they are all alike or all different.
    """
    classes = len(np.unique(labels))
    if classes in (1, len(labels)):
        raise ValueError(
            "`labels` must have at least two classes, and one of them two samples: of others "
            f"every clustering is right. Received: {classes} classes of {len(labels)} samples"
        )
    return classes
