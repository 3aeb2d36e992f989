"""CosFace: a margin taken from the cosine."""

import keras

from keras_vsoftmax.heads.checks import check_range
from keras_vsoftmax.heads.margin import MarginHead
from keras_vsoftmax.heads.registry import register
from keras_vsoftmax.heads.scaled_cosine import ScaledCosineHead


@register("cosface")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class CosFace(ScaledCosineHead, MarginHead):
    """CosFace: a margin taken from the cosine to the label's class vector.

        z_j = s cos theta_j,   z'_y = s (cos theta_y - m)

    Args:
        units: Integer, at least 2. Number of classes.
        margin: Float m >= 0; 0 is NormFace.
        scale: Float s > 0. Fixed.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`,
            `label_smoothing`, `block_size`, `class_sampling`, and those of `keras.layers.Layer`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.CosFace(10).margin
    0.35

    Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition",
    CVPR 2018, equation 4.
    """

    title = "CosFace"
    formula = "z'_y = s(cos θ_y - m)"
    source = "Wang et al., CVPR 2018"
    ranges = {"margin": (0.05, 0.5), "scale": (8.0, 64.0)}

    def __init__(self, units, *, margin=0.35, scale=30.0, **kwargs):
        super().__init__(units, scale=scale, **kwargs)
        check_range("margin", margin, low=0)
        self.margin = float(margin)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}

    def modified_cosine(self, cosine, batch):
        return cosine - self.margin
