"""A-Softmax: the multiple-angle margin with class vectors of unit norm."""

import keras

from keras_vsoftmax import numerics
from keras_vsoftmax.heads.margin import AnnealedMarginHead
from keras_vsoftmax.heads.registry import register


@register("angular")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class AngularSoftmax(AnnealedMarginHead):
    """A-Softmax (SphereFace): an angular margin, the class vectors normalised.

        z_j = ||x|| cos theta_j
        z'_y = ||x|| (lambda cos theta_y + psi(theta_y)) / (1 + lambda)
        psi(theta) = (-1)^k cos(m theta) - 2k,   theta in [k pi / m, (k + 1) pi / m]

    Lambda is annealed as in `LargeMarginSoftmax`.

    Args:
        units: Integer, at least 2. Number of classes.
        margin: Integer m from 1 to 5; 1 is the softmax of unit-norm class vectors.
        lambda_base, lambda_gamma, lambda_power: As for `LargeMarginSoftmax`.
        lambda_min: Float, at least 0. Floor of lambda.
        **kwargs: As for `LargeMarginSoftmax`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.AngularSoftmax(10).margin
    4

    Source: Liu et al., "SphereFace: Deep Hypersphere Embedding for Face Recognition",
    CVPR 2017, equation 7.
    """

    title = "A-Softmax"
    formula = "z'_y = ‖x‖(λ cos θ_y + ψ(θ_y)) / (1 + λ)"
    source = "Liu et al., CVPR 2017"
    ranges = {"margin": [2, 3, 4]}

    def __init__(self, units, *, margin=4, lambda_min=5.0, **kwargs):
        super().__init__(units, margin=margin, lambda_min=lambda_min, **kwargs)

    def plain_logits(self, features, kernel):
        return numerics.unit_class_logits(features, kernel)

    def label_length(self, batch):
        return numerics.norm(batch.features)
