"""Scores of embedding pairs: the greater, the more alike."""

import numpy as np


def cosine_scores(first, second):
    """Cosine of each pair of embeddings, `a·b / (‖a‖ ‖b‖)`; 0 where either one is the zero vector.

    Args:
        first: float array (pairs, d).
        second: float array (pairs, d).

    Returns:
        float64 array (pairs,), from -1 to 1.

    Raises:
        ValueError: the arrays are not of one shape (pairs, d).

    Example:

    >>> cosine_scores([[1.0, 0.0], [3.0, 4.0]], [[0.0, 2.0], [6.0, 8.0]]).tolist()
    [0.0, 1.0]
    """
    first, second = _as_pairs(first, second)
    product = np.sum(first * second, axis=1)
    norms = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    cosine = np.divide(product, norms, out=np.zeros_like(product), where=norms != 0)
    return np.clip(cosine, -1.0, 1.0)


def euclidean_scores(first, second):
    """Negative Euclidean distance of each pair of embeddings, `-‖a - b‖`.

    On embeddings of unit length it puts pairs in the same order as the cosine does.

    Args:
        first: float array (pairs, d).
        second: float array (pairs, d).

    Returns:
        float64 array (pairs,), at most 0.

    Raises:
        ValueError: the arrays are not of one shape (pairs, d).

    Example:

    >>> euclidean_scores([[0.0, 0.0]], [[3.0, 4.0]]).tolist()
    [-5.0]
    """
    first, second = _as_pairs(first, second)
    return -np.linalg.norm(first - second, axis=1)


def _as_pairs(first, second):
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.ndim != 2 or first.shape != second.shape:
        raise ValueError(
            "`first` and `second` must have one shape (pairs, d). "
            f"Received: shapes {first.shape} and {second.shape}"
        )
    return first, second
