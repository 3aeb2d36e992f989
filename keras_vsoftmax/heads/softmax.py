"""The plain softmax head: what the others are compared with."""

import keras

from keras_vsoftmax.heads.base import Head
from keras_vsoftmax.heads.registry import register


@register("softmax")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class Softmax(Head):
    """Plain softmax, without a bias.

        L = -sum_c q_c log softmax(z)_c,   z_j = W_j . x

    It keeps the contract of the other heads, so that exchanging heads is changing one name.

    Args:
        units: Integer, at least 2. Number of classes.
        kernel_initializer: Initializer of the kernel (d, units).
        kernel_regularizer: Regularizer of the kernel.
        kernel_constraint: Constraint of the kernel.
        label_smoothing: Float in [0, 1), e in q = (1 - e) onehot(label) + e / units.
        block_size: Integer, or None. Number of classes in a block, for very many classes: see
            `Head`.

    Call arguments and output: see `VirtualSoftmax`.

    Example:

    >>> import numpy as np
    >>> import keras_vsoftmax
    >>> head = keras_vsoftmax.heads.Softmax(3)
    >>> tuple(head(np.ones((4, 2), "float32"), np.array([0, 1, 2, 0]), training=True).shape)
    (4, 3)
    """

    title = "Softmax"
    formula = "L = logsumexp(z) - z_y"
    source = "the control"
    accepts_rows = True

    @property
    def is_plain_softmax(self):
        return self.label_smoothing == 0 and not self.gives_two_columns
