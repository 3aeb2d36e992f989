"""L-Softmax: a multiple of the angle to the label's class vector."""

import keras

from keras_vsoftmax.heads.margin import AnnealedMarginHead
from keras_vsoftmax.heads.registry import register


@register("large_margin")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class LargeMarginSoftmax(AnnealedMarginHead):
    """L-Softmax: the label must win with a multiple of its angle.

        z'_y = (lambda z_y + ||W_y|| ||x|| psi(theta_y)) / (1 + lambda)
        psi(theta) = (-1)^k cos(m theta) - 2k,   theta in [k pi / m, (k + 1) pi / m]
        lambda = max(lambda_min, lambda_base (1 + lambda_gamma step)^-lambda_power)

    A step is a training forward pass. It is a saved weight; `current_lambda` tells lambda.

    Args:
        units: Integer, at least 2. Number of classes.
        margin: Integer m from 1 to 5; 1 is plain softmax.
        lambda_base: Float, at least 0. Lambda at step 0.
        lambda_gamma: Float, at least 0. How fast lambda falls with the step.
        lambda_power: Float, at least 0. Exponent of the fall.
        lambda_min: Float, at least 0. Floor of lambda.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`,
            `label_smoothing`, `block_size`, `class_sampling`, and those of `keras.layers.Layer`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.LargeMarginSoftmax(10, margin=3).margin
    3

    Source: Liu, Wen, Yu, Yang, "Large-Margin Softmax Loss for Convolutional Neural Networks",
    ICML 2016, equations 4 to 7.
    """

    title = "L-Softmax"
    formula = "z'_y = (λ z_y + ‖W_y‖‖x‖ψ(θ_y)) / (1 + λ)"
    source = "Liu, Wen, Yu, Yang, ICML 2016"
    ranges = {"margin": [2, 3, 4]}

    def __init__(self, units, *, margin=2, **kwargs):
        super().__init__(units, margin=margin, **kwargs)
