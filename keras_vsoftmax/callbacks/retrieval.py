"""Retrieval, watched."""

from keras_vsoftmax.callbacks.base import EmbeddingMetrics, labelled
from keras_vsoftmax.retrieval.clusters import check_classes, cluster_agreement
from keras_vsoftmax.retrieval.metrics import check_partners, retrieval_metrics
from keras_vsoftmax.retrieval.model import embed


class RetrievalMetrics(EmbeddingMetrics):
    """Writes `val_recall_at_1`, `val_r_precision`, `val_map_at_r` and `val_mrr` into the logs.

    The classes need not be those that are trained on, and retrieval is worth watching on others.
    Where the callback must stand in the list, see `EmbeddingMetrics`.

    Args:
        x, y: images and labels of the queries.
        every: measure after every so many epochs, see `EmbeddingMetrics`.
        gallery: `(x, y)` of the items that are searched; `None` takes the queries, leave-one-out.
        metric: `"cosine"` or `"euclidean"`.
        ks: the K of `val_recall_at_K`.
        clusters: whether to find clusters, too, for `val_nmi` and `val_ami`.
        limit: int, how many queries and how many items are looked at: of more than these a random
            part is, always the same one. `None` takes all.
        batch_size: int, of the embedding.
        verbose: see `EmbeddingMetrics`.

    Raises:
        ValueError: for another number of labels than of images, and for labels or settings that
            `retrieval_metrics` refuses; for embeddings that it refuses, while it measures.

    Example:

    >>> import keras, numpy as np
    >>> from keras_vsoftmax import Classifier, VirtualSoftmax
    >>> model = Classifier(keras.layers.Dense(4), VirtualSoftmax(3))
    >>> model.compile("sgd")
    >>> x, y = np.random.normal(size=(12, 5)), np.arange(12) % 3
    >>> history = model.fit(x, y, verbose=0, callbacks=[RetrievalMetrics(x, y)])
    >>> sorted(history.history)[1:4]
    ['val_map_at_r', 'val_mrr', 'val_r_precision']
    """

    def __init__(
        self,
        x,
        y,
        every=1,
        *,
        gallery=None,
        metric="cosine",
        ks=(1,),
        clusters=False,
        limit=10_000,
        batch_size=128,
        verbose="auto",
    ):
        super().__init__(every, verbose)
        self.queries = labelled("x, y", (x, y), limit)
        self.gallery = None if gallery is None else labelled("gallery", gallery, limit)
        self.metric, self.ks, self.clusters = metric, ks, clusters
        self.batch_size = batch_size
        # Refuses now what it would refuse after an epoch.
        check_partners(self.queries[1], None if gallery is None else self.gallery[1])
        retrieval_metrics([[1.0]], [0], [[1.0]], [0], metric=metric, ks=ks)
        if clusters:
            check_classes(self.queries[1])

    def measure(self, model, verbose):
        x, y = self.queries
        embeddings = embed(model, x, self.batch_size, verbose)
        items, item_labels = self.gallery or (None, None)
        if items is not None:
            items = embed(model, items, self.batch_size, verbose)
        found = retrieval_metrics(
            embeddings, y, items, item_labels, metric=self.metric, ks=self.ks, verbose=verbose
        )
        figures = found.to_dict()
        if self.clusters:
            figures |= cluster_agreement(embeddings, y, metric=self.metric)
        return figures
