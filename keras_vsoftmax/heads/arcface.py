"""ArcFace: a margin added to the angle."""

import math

import keras
from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.heads.checks import check_range
from keras_vsoftmax.heads.margin import MarginHead
from keras_vsoftmax.heads.registry import register
from keras_vsoftmax.heads.scaled_cosine import ScaledCosineHead


@register("arcface")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class ArcFace(ScaledCosineHead, MarginHead):
    """ArcFace: a margin added to the angle to the label's class vector.

        z_j = s cos theta_j
        z'_y = s cos(theta_y + m),   and s (cos theta_y - m sin m) where theta_y > pi - m

    The cosine of the sum is expanded, without an arccos. Its gradient grows without bound
    towards theta_y = 0, where it is taken as that of the cosine alone.

    Args:
        units: Integer, at least 2. Number of classes.
        margin: Float m in [0, pi / 2), in radians; 0 is NormFace.
        scale: Float s > 0. Fixed.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`,
            `label_smoothing`, `block_size`, `class_sampling`, and those of `keras.layers.Layer`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.ArcFace(10, margin=0.3).margin
    0.3

    Source: Deng, Guo, Xue, Zafeiriou, "ArcFace: Additive Angular Margin Loss for Deep Face
    Recognition", CVPR 2019, equation 3.
    """

    title = "ArcFace"
    formula = "z'_y = s cos(θ_y + m)"
    source = "Deng, Guo, Xue, Zafeiriou, CVPR 2019"
    ranges = {"margin": (0.1, 0.7), "scale": (8.0, 64.0)}

    def __init__(self, units, *, margin=0.5, scale=30.0, **kwargs):
        super().__init__(units, scale=scale, **kwargs)
        check_range("margin", margin, low=0, below=math.pi / 2)
        self.margin = float(margin)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}

    def modified_cosine(self, cosine, batch):
        return kops.where(
            cosine >= -math.cos(self.margin),
            numerics.cosine_of_sum(cosine, self.margin),
            cosine - self.margin * math.sin(self.margin),
        )
