"""What `Classifier` does for a head with `block_size`, whose output has two columns."""


class BlockedTraining:
    """Mixin for a `keras.Model` with a head: gives loss and metrics the labels the head names."""

    def compile(self, *, loss=None, metrics=None, weighted_metrics=None, **kwargs):
        self.head.check_compile(loss, [metrics, weighted_metrics])
        super().compile(loss=loss, metrics=metrics, weighted_metrics=weighted_metrics, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        y = self.head.targets(y, y_pred, self._ignore_class())
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        y = self.head.targets(y, y_pred, self._ignore_class())
        return super().compute_metrics(x, y, y_pred, sample_weight)

    @property
    def _in_blocks(self):
        return self.head.labels_in_evaluation
