"""Vectors in NumPy."""

import numpy as np


def unit(vectors):
    """Vectors (..., d) divided by their Euclidean norm; zero vectors stay zero."""
    # The largest entry first, so that no square overflows or vanishes.
    largest = np.max(np.abs(vectors), axis=-1, keepdims=True)
    vectors = np.divide(vectors, largest, out=np.zeros_like(vectors), where=largest > 0)
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.divide(vectors, norms, out=vectors, where=norms > 0)
