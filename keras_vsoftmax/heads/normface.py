"""NormFace: scaled cosines."""

import keras
from keras import ops as kops

from keras_vsoftmax.heads.registry import register
from keras_vsoftmax.heads.scaled_cosine import ScaledCosineHead

_FIRST_SCALE = 30.0


@register("normface")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class NormFace(ScaledCosineHead):
    """NormFace: features and class vectors normalised, the cosine scaled.

        z_j = s cos theta_j,   L = log sum_j exp(z_j) - z_y

    A zero vector has the cosine 0 to every other.

    Args:
        units: Integer, at least 2. Number of classes.
        scale: Float s > 0, fixed; or "learned": then s is a trained weight, from 30 on, as the
            authors let it be.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`,
            `label_smoothing`, `block_size`, `class_sampling`, and those of `keras.layers.Layer`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.NormFace(10, scale=16).scale
    16.0

    Source: Wang, Xiang, Cheng, Yuille, "NormFace: L2 Hypersphere Embedding for Face
    Verification", ACM Multimedia 2017, equation 5.
    """

    title = "NormFace"
    formula = "L = logsumexp(z) - z_y"
    source = "Wang, Xiang, Cheng, Yuille, ACM MM 2017"
    ranges = {"scale": (8.0, 64.0)}

    def read_scale(self, scale):
        return scale if scale == "learned" else super().read_scale(scale)

    def add_state(self):
        super().add_state()
        if self.scale == "learned":
            self.learned_scale = self.add_number("scale", _FIRST_SCALE, trainable=True)

    def current_scale(self):
        if self.scale == "learned":
            return kops.convert_to_tensor(self.learned_scale)
        return self.scale
