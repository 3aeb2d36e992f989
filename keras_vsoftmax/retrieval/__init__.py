"""What an embedding is worth: neighbours, classes, compactness."""

from keras_vsoftmax.retrieval.clusters import cluster_agreement
from keras_vsoftmax.retrieval.metrics import RetrievalResult, retrieval_metrics
from keras_vsoftmax.retrieval.model import embed, evaluate
from keras_vsoftmax.retrieval.neighbours import nearest
from keras_vsoftmax.retrieval.separation import pair_auc
from keras_vsoftmax.retrieval.similarity import class_cosines

__all__ = [
    "RetrievalResult",
    "class_cosines",
    "cluster_agreement",
    "embed",
    "evaluate",
    "nearest",
    "pair_auc",
    "retrieval_metrics",
]
