"""From a model and its inputs to embeddings, and to the figures of retrieval."""

import keras
import numpy as np

from keras_vsoftmax.retrieval.checks import check_samples
from keras_vsoftmax.retrieval.metrics import retrieval_metrics


def embed(model, x, batch_size=128, verbose=0):
    """Embeddings of a model's inputs, in batches.

    Args:
        model: a `Classifier`, whose backbone is used, or any Keras model or layer whose output is
            embeddings (batch, d).
        x: what the model takes: an array, or a list or dict of arrays.
        batch_size: int.
        verbose: 1 shows the progress bar, 0 nothing.

    Returns:
        float32 array (samples, d), NumPy.

    Raises:
        ValueError: there are no inputs, or the model is none of these, or it gives something else
            than one (batch, d) array.

    Example:

    >>> import keras, numpy as np
    >>> model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    >>> embed(model, np.zeros((3, 4, 4, 1))).shape
    (3, 16)
    """
    if any(hasattr(part, "shape") and 0 in part.shape[:1] for part in keras.tree.flatten(x)):
        raise ValueError("There must be at least one input to embed. Received: an array of none")
    embedder = model if isinstance(model, Embedder) else Embedder(model)
    output = embedder.predict(x, batch_size, verbose)
    if not hasattr(output, "ndim") or output.ndim != 2:
        shapes = keras.tree.map_structure(np.shape, output)
        raise ValueError(
            f"The model must give embeddings of shape (batch, d). Received: {model.name} with "
            f"output of shape {shapes}"
        )
    return np.asarray(output, "float32")


def evaluate(model, x, y, gallery=None, *, metric="cosine", ks=(1, 2, 4, 8), **embedding):
    """Measure a model's retrieval; see `retrieval_metrics`.

    Args:
        model: see `embed`.
        x, y: inputs and labels of the queries.
        gallery: `(x, y)` of the items that are searched; `None` takes the queries, leave-one-out.
        metric, ks: see `retrieval_metrics`.
        **embedding: `batch_size` and `verbose`, see `embed`.

    Returns:
        `RetrievalResult`.

    Raises:
        ValueError: as `embed` and `retrieval_metrics` do.

    Example:

    >>> import keras, numpy as np
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Rescaling(2)])
    >>> x = np.array([[1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9]])
    >>> evaluate(model, x, [0, 0, 1, 1]).recall_at[1]
    1.0
    """
    items, item_labels = None, None
    if gallery is not None:
        check_samples("gallery", gallery)
        items, item_labels = embed(model, gallery[0], **embedding), gallery[1]
    queries = embed(model, x, **embedding)
    verbose = embedding.get("verbose", 0)
    return retrieval_metrics(queries, y, items, item_labels, metric=metric, ks=ks, verbose=verbose)


class Embedder(keras.Model):
    """A model's backbone in inference, as a model of its own.

    `embed` makes one for each call; one that is kept is traced once. Made outside of the scope of
    a `tf.distribute` strategy it runs on one device, also inside `fit`: one replica does the work.

    Args:
        model: see `embed`.
    """

    def __init__(self, model):
        super().__init__(name="embedder", autocast=False)
        self.backbone = checked_backbone(model)

    def call(self, inputs):
        return self.backbone(inputs, training=False)


def checked_backbone(model):
    """What embeds: a model's backbone, or the model itself.

    Raises:
        ValueError: it is no Keras model or layer.
    """
    backbone = getattr(model, "backbone", model)
    if not isinstance(backbone, keras.Layer):
        raise ValueError(
            "`model` must be a `Classifier`, or a Keras model or layer whose output is embeddings; "
            f"`keras.saving.load_model` makes one of a file. Received: model={model!r}"
        )
    return backbone
