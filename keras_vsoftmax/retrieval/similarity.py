"""How compact the classes of an embedding are, and how far apart."""

import numpy as np

from keras_vsoftmax.retrieval.scores import checked_labels
from keras_vsoftmax.utils.vectors import unit


def class_cosines(features, labels):
    """Mean cosine of the samples to their own class centre and to the nearest other one.

    With f_i = x_i / ‖x_i‖ and c_k the normalised mean of the f_i of class k:

        intra         = mean_i f_i · c_{y_i}
        nearest_other = mean_i max_{k ≠ y_i} f_i · c_k

    High and low is what a discriminative embedding is after. A zero vector has cosine 0 to all.

    Args:
        features: embeddings, shape (samples, d), as `Classifier.embed` gives them.
        labels: class ids or names, shape (samples,) or (samples, 1); at least two classes among
            them.

    Returns:
        `(intra, nearest_other)`, two floats in [-1, 1].

    Raises:
        ValueError: for shapes that do not fit, features that are not finite, or a single class.

    Example:

    >>> intra, nearest_other = class_cosines([[1, 0], [2, 0], [0, 3]], [0, 0, 1])
    >>> (round(intra, 6), round(nearest_other, 6))
    (1.0, 0.0)

    Source: the measure behind the similarity figure of "Virtual Class Enhanced Discriminative
    Embedding Learning", NeurIPS 2018.
    """
    features = np.asarray(features, "float64")
    if features.ndim != 2:
        raise ValueError(
            "`features` must have the shape (samples, d). "
            f"Received: features.shape={features.shape}"
        )
    labels = checked_labels(labels, len(features))
    if not np.isfinite(features).all():
        raise ValueError("`features` must be finite. Received: NaN or infinity among them")
    classes, own = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"At least two classes are needed. Received: labels of {len(classes)}")

    features = unit(features)
    sums = np.zeros((len(classes), features.shape[1]))
    np.add.at(sums, own, features)
    cosines = features @ unit(sums).T  # (samples, classes)
    rows = np.arange(len(features))
    intra = cosines[rows, own].mean()
    cosines[rows, own] = -np.inf
    return float(intra), float(cosines.max(axis=1).mean())
