"""What a model needs to train exactly on several replicas, and on several workers."""

import keras

from keras_vsoftmax.distributed import global_loss, replica
from keras_vsoftmax.keras_gaps import multi_worker
from keras_vsoftmax.keras_gaps.sublayers import sublayers


class ReplicatedTraining(multi_worker.BuiltFromALocalBatch):
    """Mixin for a `keras.Model` with one loss object that trains under a tf.distribute strategy.

    Its gradients, losses and metrics are those of the global batch on one device. Without a
    strategy, and on the other backends, it changes nothing.
    """

    def fit(self, x=None, y=None, batch_size=None, *args, **kwargs):
        replicas = 1 if self.own_strategy is None else self.own_strategy.num_replicas_in_sync
        if batch_size is not None and batch_size < replicas:
            raise ValueError(
                "`batch_size` is that of the global batch, which must have a row for each of the "
                f"{replicas} replicas. Received: batch_size={batch_size}"
            )
        return super().fit(x, y, batch_size, *args, **kwargs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        if training and replica.count() > 1 and self._has_local_batch_statistics():
            replica.require_rows(
                y_pred,
                "BatchNormalization has no statistics there: use synchronized=True, or drop the "
                "remainder of the data set.",
            )
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        return global_loss.global_loss(loss, self.losses, self.loss, y, y_pred, sample_weight)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return multi_worker.reducible(super().compute_metrics(x, y, y_pred, sample_weight))

    def _has_local_batch_statistics(self):
        return any(
            isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized
            for layer in sublayers(self)
        )
