"""Identification, watched."""

from keras_vsoftmax.callbacks.base import EmbeddingMetrics, labelled
from keras_vsoftmax.identification.figures import FARS
from keras_vsoftmax.identification.gallery import Gallery
from keras_vsoftmax.identification.thresholds import checked_fars
from keras_vsoftmax.retrieval.checks import checked_ks


class IdentificationMetrics(EmbeddingMetrics):
    """Writes `val_identification_top_1`, `val_dir_at_far_0_01` and others into the logs.

    A gallery is enrolled anew each time. Queries of classes that are not in it are the unknown
    ones; without any there is `val_identification_top_k` alone. A rate that they are too few for
    is not in the logs. Where the callback must stand in the list, see `EmbeddingMetrics`.

    Args:
        enrolled: `(x, y)`, images and labels of the gallery.
        queries: `(x, y)`, images and labels to identify.
        every: measure after every so many epochs, see `EmbeddingMetrics`.
        metric, templates: see `Gallery`.
        ks: the k of `val_identification_top_k`.
        fars: the rates of `val_dir_at_far_RATE`.
        limit: int, how many queries are looked at: of more than these a random part is, always
            the same one. `None` takes all.
        batch_size: int, of the embedding.
        verbose: see `EmbeddingMetrics`.

    Raises:
        ValueError: for another number of labels than of images, and for settings and labels that
            `Gallery` refuses; for embeddings that it refuses, while it measures.

    Example:

    ```python
    watch = IdentificationMetrics((x_gallery, y_gallery), (x_queries, y_queries))
    stop = keras.callbacks.EarlyStopping("val_dir_at_far_0_01", mode="max", patience=3)
    model.fit(x, y, epochs=100, callbacks=[watch, stop])
    ```
    """

    def __init__(
        self,
        enrolled,
        queries,
        every=1,
        *,
        metric="cosine",
        templates="mean",
        ks=(1,),
        fars=FARS,
        limit=10_000,
        batch_size=128,
        verbose="auto",
    ):
        super().__init__(every, verbose)
        self.enrolled = labelled("enrolled", enrolled)
        self.queries = labelled("queries", queries, limit)
        self.settings = {"metric": metric, "templates": templates, "batch_size": batch_size}
        self.ks, self.fars = checked_ks(ks), checked_fars(fars)
        # Refuses now what it would refuse after an epoch.
        trial = Gallery(**self.settings)
        trial.enroll([[1.0]], self.enrolled[1][:1])
        trial.evaluate([[1.0]], self.queries[1][:1])

    def measure(self, model, verbose):
        gallery = Gallery(model, **self.settings)
        gallery.enroll(*self.enrolled)
        return gallery.evaluate(*self.queries, ks=self.ks, fars=self.fars).to_dict()
