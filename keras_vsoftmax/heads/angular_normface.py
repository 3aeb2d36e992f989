"""The angular margin of A-Softmax over the scaled cosines of NormFace."""

import keras

from keras_vsoftmax.heads.margin import AnnealedMarginHead
from keras_vsoftmax.heads.registry import register
from keras_vsoftmax.heads.scaled_cosine import ScaledCosineHead


@register("angular_normface")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class AngularNormFace(ScaledCosineHead, AnnealedMarginHead):
    """A-Softmax with NormFace: the angular margin, features and class vectors normalised.

        z_j = s cos theta_j
        z'_y = s (lambda cos theta_y + psi(theta_y)) / (1 + lambda)

    psi and the annealing of lambda are those of `LargeMarginSoftmax`.

    Args:
        units: Integer, at least 2. Number of classes.
        margin: Integer m from 1 to 5; 1 is NormFace.
        scale: Float s > 0. Fixed.
        lambda_base, lambda_gamma, lambda_power: As for `LargeMarginSoftmax`.
        lambda_min: Float, at least 0. Floor of lambda.
        **kwargs: As for `LargeMarginSoftmax`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.AngularNormFace(10, margin=3, scale=20).scale
    20.0

    Source: Liu et al., CVPR 2017, and Wang et al., ACM Multimedia 2017, combined as in the
    poster of Virtual Softmax.
    """

    title = "A-Softmax with NormFace"
    formula = "z'_y = s(λ cos θ_y + ψ(θ_y)) / (1 + λ)"
    source = "Liu et al., CVPR 2017; Wang et al., ACM MM 2017"
    ranges = {"margin": [2, 3, 4], "scale": (8.0, 64.0)}

    def __init__(self, units, *, margin=4, scale=30.0, lambda_min=5.0, **kwargs):
        super().__init__(units, margin=margin, scale=scale, lambda_min=lambda_min, **kwargs)
