"""Squared hinge: an L2-SVM on the features, class by class."""

import keras
from keras import ops as kops

from keras_vsoftmax.heads.base import Head
from keras_vsoftmax.heads.registry import register
from keras_vsoftmax.heads.terms import Terms


@register("hinge")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class SquaredHinge(Head):
    """L2-SVM: one class against all others, by the squared hinge.

        L = sum_j max(0, 1 - t_j z_j)^2,   t_y = 1, t_j = -1 for j != y

    The loss is no cross-entropy. Outside training the output is log-softmax of z as with every
    head: the order of the classes is the SVM's, the probabilities are not calibrated. The weight
    decay of the SVM is the kernel's regulariser.

    Args:
        units: Integer, at least 2. Number of classes.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`, and the
            arguments of `keras.layers.Layer`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Raises:
        ValueError: For label smoothing, which has no meaning for a hinge.

    Example:

    >>> import numpy as np
    >>> from keras_vsoftmax import heads
    >>> head = heads.get("hinge", 3, kernel_initializer="zeros")
    >>> output = head(np.ones((1, 4), "float32"), np.array([2]), training=True)
    >>> -float(output[0, 2])  # each class misses its side by 1
    3.0

    Source: Tang, "Deep Learning using Linear Support Vector Machines", 2013; Lee, Xie et al.,
    "Deeply-Supervised Nets", AISTATS 2015, in the form of the loss that its authors published.
    """

    title = "L2-SVM"
    formula = "L = sum_j max(0, 1 - t_j z_j)^2"
    source = "Tang, 2013; Lee, Xie et al., AISTATS 2015"
    is_softmax = False

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        if self.label_smoothing:
            raise ValueError(
                "`label_smoothing` has no meaning for a hinge. "
                f"Received: label_smoothing={self.label_smoothing}"
            )

    def training_terms(self, batch):
        side = 2 * kops.one_hot(batch.labels.ids, self.units, dtype=batch.logits.dtype) - 1
        missing = kops.relu(1 - side * batch.logits)
        return Terms(loss=kops.sum(kops.square(missing), axis=-1))
