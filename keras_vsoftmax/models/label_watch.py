"""The watch over labels that come in streams: counts bad ones, and tells them from divergence."""

import keras
import numpy as np
from keras import ops


class LabelWatch:
    """Counts the bad labels of a data pass, and ends the pass with the error that fits.

    It is no layer and no metric of the model, so that nothing of it is saved, or shown among the
    metrics. `variables` is what a step updates.

    Args:
        head: The head that takes the labels, for the words of the errors.
    """

    def __init__(self, head):
        self._units = head.units
        self._rows = "row" if head.accepts_rows else "one-hot row"
        self._sampled = head.sampler is not None
        self._counter = keras.metrics.Sum(name="invalid_labels", dtype="float32")
        self._before = 0

    @property
    def variables(self):
        return self._counter.variables

    def count(self, valid):
        """Count in a step the labels that are not valid: a tensor of booleans."""
        self._counter.update_state(ops.sum(ops.cast(ops.logical_not(valid), "float32")))

    def begin_pass(self):
        """Begin a pass. What earlier passes of the same training counted is kept.

        Validation begins passes of its own before the epoch is over.
        """
        self._before += int(self._counter.result())
        self._counter.reset_state()

    def begin_training(self):
        """Forget what was counted, and return the callback that ends training in time."""
        self._counter.reset_state()
        self._before = 0
        return _StopWhenNotFinite()

    def end_training(self, stopped):
        """Raise what ended a training, if it was no other callback's doing.

        Args:
            stopped: The callback that `begin_training` gave.

        Raises:
            ValueError: For bad labels.
            FloatingPointError: For a loss that is not finite although all labels were valid,
                unless another callback had stopped the training by then.
        """
        if stopped.epoch is None:
            return
        bad = self._before + int(self._counter.result())
        if bad:
            raise ValueError(
                f"Training met bad labels in epoch {stopped.epoch + 1}: {self._describe(bad)} "
                "They changed no weight; the good samples and the batches before them were "
                "applied."
            )
        if stopped.handled:
            return
        sampled = (
            "A sample of `class_sampling` must hold the labels of a batch, and a row whose label "
            "found no place is NaN: raise it, or make the batches smaller. "
        )
        raise FloatingPointError(
            f"Training diverged in epoch {stopped.epoch + 1}: the loss is {stopped.loss} although "
            f"every label was valid. {sampled if self._sampled else ''}A lower learning rate, or "
            "gradient clipping, may help; inputs must be finite, and a custom loss must not "
            "normalise the output again. The steps before were applied."
        )

    def end_evaluation(self):
        """Raise a ValueError if the pass met bad labels."""
        bad = int(self._counter.result())
        if bad:
            raise ValueError(f"Evaluation met bad labels: {self._describe(bad)}")

    def _describe(self, count):
        return (
            f"{count} of them were no class id from 0 to {self._units - 1} and no {self._rows} of "
            f"{self._units} probabilities, so that the loss is NaN."
        )


class _StopWhenNotFinite(keras.callbacks.Callback):
    """Ends training after the first epoch whose loss is not finite. It must come last."""

    def __init__(self):
        super().__init__()
        self.epoch = None
        self.loss = None
        self.handled = False

    def on_epoch_end(self, epoch, logs=None):
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss):
            self.epoch, self.loss = epoch, float(loss)
            self.handled = bool(self.model.stop_training)
            self.model.stop_training = True
