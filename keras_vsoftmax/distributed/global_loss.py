"""Training on several replicas: the loss of the global batch, exactly.

Keras divides a mean by the number of replicas, which is right only while every replica has the
same share of the batch. Where the last batch does not divide, where masks or sample weights
differ, the mean of the replicas' means is not the mean of the batch (keras 3.15.1).
"""

import keras
from keras import ops as kops

from keras_vsoftmax.distributed import replica
from keras_vsoftmax.keras_gaps.masks import get_keras_mask, set_keras_mask

_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


def global_loss(loss, additional_losses, loss_fn, y, y_pred, sample_weight):
    """Turns the loss that Keras computed in a replica into this replica's part of the global one.

    With D_r what the mean of replica r is divided by (samples, samples that are not masked, or
    sum of weights) and R replicas, Keras's part is N_r / (D_r R). Here it becomes

        N_r / sum_s D_s = N_r / (D_r R) * share_r,   share_r = R D_r / sum_s D_s,

    so that the gradients, which are summed over the replicas, are those of one device. What
    regularisers add keeps its weight 1 / R. The value that is returned is 1 / R of the global
    loss on every replica, so that the reported loss is that of the global batch as well.

    Args:
        loss: Scalar tensor, from `keras.Model.compute_loss`.
        additional_losses: List of scalar tensors, `model.losses`: what is in `loss` besides.
        loss_fn: The `keras.losses.Loss` in `loss`.
        y, y_pred, sample_weight: What it was called with.

    Returns:
        `loss` where there is one replica or none, and for a loss that is not reduced.
    """
    replicas = replica.count()
    if replicas == 1 or len(loss.shape) > 0:
        return loss
    if loss_fn.reduction in _MEANS:
        divisor = _divisor(loss_fn, y, y_pred, sample_weight)
        all_divisors = replica.total(divisor)
        share = kops.where(
            all_divisors > 0, kops.divide_no_nan(replicas * divisor, all_divisors), 1.0
        )
        share = kops.cast(share, loss.dtype)
        loss = share * loss
        for value in additional_losses:
            loss += (1 - share) / replicas * kops.cast(kops.sum(value), loss.dtype)
    return loss + kops.stop_gradient(replica.total(loss) / replicas - loss)


def _divisor(loss_fn, y, y_pred, sample_weight):
    dtype = keras.backend.result_type(keras.backend.standardize_dtype(y_pred.dtype), "float32")
    weighted = loss_fn.reduction == "mean_with_sample_weight"
    return _Ones(loss_fn, dtype)(y, y_pred, sample_weight if weighted else None)


class _Ones(keras.losses.Loss):
    """Counts what a loss sums up: 1 for each of its values, under its own mask."""

    def __init__(self, loss_fn, dtype):
        super().__init__(name="divisor", reduction="sum", dtype=dtype)
        self._loss_fn = loss_fn

    def call(self, y_true, y_pred):
        values = self._loss_fn.call(y_true, y_pred)
        ones = kops.ones_like(values)
        mask = get_keras_mask(values)
        if mask is not None:
            set_keras_mask(ones, mask)
        return ones
