"""Figures of embeddings that training can watch, by name, like any metric."""

from keras_vsoftmax.callbacks.directions import direction
from keras_vsoftmax.callbacks.identification import IdentificationMetrics
from keras_vsoftmax.callbacks.retrieval import RetrievalMetrics
from keras_vsoftmax.callbacks.verification import VerificationMetrics

__all__ = ["IdentificationMetrics", "RetrievalMetrics", "VerificationMetrics", "direction"]
