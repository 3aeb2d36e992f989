"""The loss that goes with every head."""

import keras
from keras import ops as kops

from keras_vsoftmax import labels as label_lib
from keras_vsoftmax import numerics
from keras_vsoftmax.keras_gaps.loss_dtype import compute_in_dtype_of
from keras_vsoftmax.keras_gaps.masks import set_keras_mask


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class VirtualSoftmaxLoss(keras.losses.Loss):
    """Loss for the log-probabilities that the heads of this package give.

        loss = -sum_c q_c output_c        (for a class id: -output[label])

    The row is not normalised again: in training exp(output) sums to less than 1, and the rest
    belongs to the virtual class, or to the margin. Label smoothing is an argument of the heads.

    Args:
        reduction: As for every Keras loss: "sum_over_batch_size" (the default), "sum", "mean",
            "mean_with_sample_weight" or None.
        ignore_class: Optional integer id. Samples with it have no loss and do not count in a
            mean, as in `keras.losses.SparseCategoricalCrossentropy`. Only with class ids.
        name: Name of the loss.

    Call arguments:
        y_true: Class ids (...,) or (..., 1), or rows of probabilities (..., units).
        y_pred: Log-probabilities (..., units).
        sample_weight: Optional, as for every Keras loss.

    The computation is in the dtype of `y_pred`, never below float32. An id outside [0, units)
    that is not `ignore_class`, and a row that is no probability distribution, make it NaN.

    Example:

    >>> import numpy as np
    >>> import keras_vsoftmax
    >>> loss = keras_vsoftmax.VirtualSoftmaxLoss()
    >>> float(loss(np.array([1]), np.log(np.array([[0.2, 0.5, 0.3]], "float32")))) # log 2
    0.693147...
    """

    def __init__(
        self, reduction="sum_over_batch_size", ignore_class=None, name="virtual_softmax_loss"
    ):
        super().__init__(name=name, reduction=reduction)
        self.ignore_class = ignore_class

    def __call__(self, y_true, y_pred, sample_weight=None):
        compute_in_dtype_of(self, y_pred)
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        labels = label_lib.interpret(
            y_true,
            y_pred.shape[-1],
            tuple(y_pred.shape)[:-1],
            y_pred.dtype,
            ignore_class=self.ignore_class,
        )
        if labels.rows is None:
            values = -numerics.pick(y_pred, labels.ids)
        else:
            values = -kops.sum(labels.rows * y_pred, axis=-1)
        values = kops.where(labels.valid, values, float("nan"))
        if labels.ignored is None:
            return values
        values = kops.where(labels.ignored, 0.0, values)
        # How Keras takes the mask of its own `ignore_class` to the reduction. It has no public
        # name, and an attribute cannot be set on a tensor that JAX traces.
        set_keras_mask(values, kops.logical_not(labels.ignored))
        return values

    def get_config(self):
        return {**super().get_config(), "ignore_class": self.ignore_class}
