"""What the callbacks share: when they measure, and how a search may copy them."""

import copy

import keras
import numpy as np

from keras_vsoftmax.keras_gaps import jax_state
from keras_vsoftmax.retrieval.model import Embedder


class EmbeddingMetrics(keras.callbacks.Callback):
    """Measures the embedding at the end of epochs, and writes the figures into the logs.

    The names begin with `val_`. Callbacks that are to read them (`ModelCheckpoint`,
    `EarlyStopping`, `CSVLogger`, `TensorBoard`) must come after this one.

    It measures after the first epoch, after every `every`-th from there on, and after the last
    one. The logs of other epochs do not hold the figures. An epoch whose loss is not finite is
    not measured.

    Args:
        every: int, at least 1.
        verbose: 1 shows a progress bar, 0 nothing, `"auto"` shows one where `fit` shows its own.
    """

    def __init__(self, every=1, verbose="auto"):
        super().__init__()
        if not (isinstance(every, int) and every >= 1):
            raise ValueError(f"`every` must be an integer of at least 1. Received: every={every!r}")
        self.every = every
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


def few_enough(x, y, limit):
    """At most `limit` samples, always the same: a random part where there are more."""
    if limit is None or len(y) <= limit:
        return x, y
    chosen = np.sort(np.random.default_rng(0).permutation(len(y))[:limit])
    return keras.tree.map_structure(lambda array: array[chosen], x), np.asarray(y)[chosen]
