"""What `Classifier` does for a head with `block_size`, whose output has two columns."""

import keras
from keras import ops

_TOP_K = (keras.metrics.TopKCategoricalAccuracy, keras.metrics.SparseTopKCategoricalAccuracy)


class BlockedTraining:
    """Mixin for a `keras.Model` with a head: gives loss and metrics the column of the label.

    A head with `block_size` puts the label's log-probability into the first column, so that the
    label is 0 for every id. With other heads nothing is changed.
    """

    def compile(self, *, loss=None, metrics=None, weighted_metrics=None, **kwargs):
        if self._in_blocks:
            if getattr(loss, "ignore_class", None) == 0:
                raise ValueError(
                    "With a head that has block_size, loss and metrics get the label 0 in the "
                    "place of every id, so that the ignored id must be another one, such as -1. "
                    "Received: ignore_class=0"
                )
            for metric in keras.tree.flatten([metrics, weighted_metrics]):
                _refuse_top_k(metric)
        super().compile(loss=loss, metrics=metrics, weighted_metrics=weighted_metrics, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return super().compute_loss(x, self._column(y, y_pred), y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return super().compute_metrics(x, self._column(y, y_pred), y_pred, sample_weight)

    @property
    def _in_blocks(self):
        return getattr(self.head, "block_size", None) is not None

    def _column(self, y, y_pred):
        """The labels' column in the head's output, or the ignored id."""
        if not self._in_blocks:
            return y
        ignored = getattr(self.loss, "ignore_class", None)
        labels = self._interpret(y, y_pred)
        column = ops.zeros_like(labels.ids)
        return column if ignored is None else ops.where(labels.ignored, ignored, column)


def _refuse_top_k(metric):
    known = keras.metrics.get(metric) if isinstance(metric, str) else metric
    if isinstance(known, _TOP_K) or "top_k" in getattr(known, "__name__", ""):
        raise ValueError(
            "A head with block_size gives the log-probability of the label and the highest among "
            "the other classes, which is enough for accuracy but not for top-k. "
            f"Received: {metric!r} among the metrics"
        )
