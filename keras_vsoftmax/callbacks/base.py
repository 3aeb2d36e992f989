"""What the callbacks share: when they measure, and how a search may copy them."""

import copy

import keras
import numpy as np

from keras_vsoftmax.heads.base import Head
from keras_vsoftmax.keras_gaps import jax_state
from keras_vsoftmax.retrieval.checks import check_samples
from keras_vsoftmax.retrieval.model import Embedder
from keras_vsoftmax.retrieval.scores import checked_labels
from keras_vsoftmax.utils.counts import check_count


class EmbeddingMetrics(keras.callbacks.Callback):
    """Measures the embedding at the end of epochs, and writes the figures into the logs.

    The names begin with `val_`. Callbacks that are to read them (`ModelCheckpoint`,
    `EarlyStopping`, `CSVLogger`, `TensorBoard`) must come after this one.

    It measures after the first epoch, after every `every`-th from there on, and after the last
    one. The logs of other epochs do not hold the figures. An epoch whose loss is not finite is
    not measured.

    The model that is trained is a `Classifier`, whose backbone is looked at, or one whose output
    is the embedding.

    Args:
        every: int, at least 1.
        verbose: 1 shows a progress bar, 0 nothing, `"auto"` shows one where `fit` shows its own.
    """

    def __init__(self, every=1, verbose="auto"):
        super().__init__()
        check_count("every", every)
        self.every = int(every)
        self.verbose = verbose
        self._embedder = None

    def measure(self, model, verbose):
        """Figures of an embedding model.

        Args:
            model: Keras model from images to embeddings.
            verbose: 1 or 0.

        Returns:
            dict from names, without `val_`, to floats; NaN is left out of the logs.
        """
        raise NotImplementedError

    def on_train_begin(self, logs=None):
        # A subclass of `keras.Model` may hold a head, and give embeddings all the same.
        functional = bool(getattr(self.model, "outputs", None))
        if functional and any(isinstance(layer, Head) for layer in self.model.layers):
            raise ValueError(
                f"{type(self).__name__} watches an embedding, and the output of this model is that "
                "of a head: train a Classifier, whose backbone it looks at. "
                f"Received: {type(self.model).__name__} named {self.model.name!r}"
            )
        # Made once, so that it is traced once.
        self._embedder = Embedder(self.model)

    def on_train_end(self, logs=None):
        self._embedder = None

    def on_epoch_end(self, epoch, logs=None):
        due = epoch % self.every == 0 or epoch + 1 == self.params.get("epochs")
        if logs is None or not due or not np.isfinite(logs.get("loss", 0.0)):
            return
        jax_state.sync(self.model)
        shown = self.params.get("verbose") == 1 if self.verbose == "auto" else bool(self.verbose)
        if shown:
            print(flush=True)  # the bar of the epoch has not ended its line
        for name, value in self.measure(self._embedder, int(shown)).items():
            if not np.isnan(value):
                logs[f"val_{name}"] = float(value)

    def __deepcopy__(self, memo):
        """Another callback on the same data, which nothing here changes.

        Keras Tuner copies callbacks for every trial; a copy of the images each would fill the
        memory.
        """
        copied = copy.copy(self)
        copied.set_model(None)
        copied._embedder = None
        memo[id(self)] = copied
        return copied


def labelled(name, samples, limit=None):
    """Images and labels, at most `limit` of them, always the same: a random part of more.

    Args:
        name: what they are, for the errors.
        samples: `(x, y)`, images, or a structure of such arrays, and labels.
        limit: int, or `None` for all.

    Returns:
        `(x, y)`, the labels as an array.

    Raises:
        ValueError: they are no pair, not as many images as labels, or no labels.
    """
    if limit is not None:
        check_count("limit", limit)
    check_samples(name, samples)
    x, y = samples
    if not hasattr(y, "__len__"):
        raise ValueError(
            f"The labels of `{name}` must be an array or a list. Received: {type(y).__name__}"
        )
    lengths = {len(array) for array in keras.tree.flatten(x)}
    if lengths != {len(y)}:
        raise ValueError(
            f"`{name}` must have a label for each image. Received: {len(y)} labels of "
            f"{' and '.join(map(str, sorted(lengths)))} images"
        )
    if not len(y):
        raise ValueError(f"`{name}` must be of at least one image. Received: none")
    y = checked_labels(y, len(y), f"y of {name}")
    if limit is None or len(y) <= limit:
        return x, y
    chosen = np.sort(np.random.default_rng(0).permutation(len(y))[:limit])
    return keras.tree.map_structure(lambda array: _rows(array, chosen), x), y[chosen]


def _rows(array, chosen):
    # Tensors take no arrays of places. What may be a file is not read whole.
    return (keras.ops.convert_to_numpy(array) if keras.ops.is_tensor(array) else array)[chosen]
