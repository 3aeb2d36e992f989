"""The watch over a virtual class that keeps the other classes from being told apart."""

import warnings

import keras
from keras import ops

from keras_vsoftmax.heads.virtual import VirtualClass

# At 3 the classes have a share of exp(-3), a twentieth, of a row's gradient between them.
_HIGHEST = 3.0
_ROWS = 8  # of a batch: enough for a mean, and next to nothing beside what the head computes


class VirtualWatch:
    """Measure how far the virtual logit stands above the classes' at the end of the first epoch.

        excess = mean over rows of softplus(v - logsumexp z) = -logsumexp(output)

    The classes get a share of exp(-excess) of a row's gradient. While it is large, features are
    drawn to their class vector, and nothing drives the classes apart.

    It looks at virtual classes that are whole from the first step, where the output has a column
    for each class. It is no metric of the model, so that nothing of it is saved or shown.

    Args:
        head: The model's head.
    """

    def __init__(self, head):
        whole = isinstance(head, VirtualClass) and not head.warmup_steps
        self._excess = None
        if whole and not head.gives_two_columns and not head.label_smoothing:
            self._excess = keras.metrics.Mean(name="virtual_excess", dtype="float32")

    @property
    def variables(self):
        return [] if self._excess is None else self._excess.variables

    def look(self, output):
        """Keep the excess of a step's output (..., units), in the place of the last step's."""
        if self._excess is None:
            return
        rows = ops.reshape(output, (-1, output.shape[-1]))[:_ROWS]
        self._excess.reset_state()
        self._excess.update_state(-ops.logsumexp(ops.cast(rows, "float32"), axis=-1))

    def callbacks(self):
        """Return the callbacks of a training: one that warns, or none."""
        return [] if self._excess is None else [_WarnOnce(self._excess)]


class _WarnOnce(keras.callbacks.Callback):
    """Warns when the first epoch ends, or its validation begins, where outputs are plain."""

    def __init__(self, excess):
        super().__init__()
        self._excess = excess
        self._waits = False

    def on_epoch_begin(self, epoch, logs=None):
        self._waits = epoch == 0

    def on_test_begin(self, logs=None):
        self._warn()

    def on_epoch_end(self, epoch, logs=None):
        self._warn()

    def _warn(self):
        excess = float(self._excess.result()) if self._waits else 0.0
        self._waits = False
        if excess > _HIGHEST:
            warnings.warn(
                f"After the first epoch the virtual logit stands {excess:.1f} above the log-sum of "
                "the classes' logits, so that these get next to no gradient: features are drawn "
                "to their class, and nothing drives the classes apart. What helps: let the "
                "virtual class come in over the first third of the steps, with warmup_steps of "
                "the head, and end the backbone in a ReLU.",
                stacklevel=2,
            )
