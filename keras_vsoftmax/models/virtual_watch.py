"""The watch over a virtual class that keeps the other classes from being told apart."""

import warnings

import keras
from keras import ops

# At 3 the classes have a share of exp(-3), a twentieth, of a row's gradient between them.
_HIGHEST = 3.0
_ROWS = 32  # of a batch: enough for a mean, and few beside what the head computes


class VirtualWatch:
    """Measure how far the virtual logit stands above the classes' at the end of the first epoch.

        excess = mean over rows of softplus(v - logsumexp z) = -logsumexp(output)

    The classes other than the label get a share of at most exp(-excess) of a row's gradient, so
    that while it is large, features are drawn to their class vector and nothing drives the
    classes apart.
    """

    def __init__(self):
        self._excess = keras.metrics.Mean(name="virtual_excess", dtype="float32")

    @property
    def variables(self):
        return self._excess.variables

    def look(self, output):
        """Keep the excess of a training step's output (..., units), in the place of the last's."""
        rows = ops.reshape(output, (-1, output.shape[-1]))[:_ROWS]
        mass = ops.logsumexp(ops.cast(ops.stop_gradient(rows), "float32"), axis=-1)
        self._excess.reset_state()
        self._excess.update_state(-mass)

    def callback(self):
        """Return the callback that warns after the first epoch."""
        return _WarnOnce(self._excess)


class _WarnOnce(keras.callbacks.Callback):
    def __init__(self, excess):
        super().__init__()
        self._excess = excess

    def on_epoch_begin(self, epoch, logs=None):
        self._first = epoch == 0

    def on_epoch_end(self, epoch, logs=None):
        if not self._first:
            return
        excess = float(self._excess.result())
        if excess > _HIGHEST:
            warnings.warn(
                f"After the first epoch the virtual logit stands {excess:.1f} above the log-sum of "
                "the classes' logits, so that the other classes get next to no gradient: features "
                "are drawn to their class, and nothing drives the classes apart. What helps: let "
                "the virtual class come in over the first third of the steps, "
                "VirtualSoftmax(units, warmup_steps=...), and end the backbone in a ReLU.",
                stacklevel=2,
            )
