"""NormFace: scaled cosines."""

import keras
from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.heads.base import Head, check_range


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class NormFace(Head):
    """NormFace: features and class vectors normalised, the cosine scaled.

        z_j = s cos theta_j,   L = log sum_j exp(z_j) - z_y

    A zero vector has the cosine 0 to every other.

    Args:
        units: Integer, at least 2. Number of classes.
        scale: Float s > 0. Fixed.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`,
            `label_smoothing`, and the arguments of `keras.layers.Layer`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.NormFace(10, scale=16).scale
    16.0

    Source: Wang, Xiang, Cheng, Yuille, "NormFace: L2 Hypersphere Embedding for Face
    Verification", ACM Multimedia 2017, equation 5.
    """

    def __init__(self, units, *, scale=30.0, **kwargs):
        super().__init__(units, **kwargs)
        check_range("scale", scale, above=0, below=float("inf"))
        self.scale = float(scale)

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}

    def _plain_logits(self, features, kernel):
        return numerics.unit_class_logits(self.scale * numerics.unit(features), kernel)

    def _label_length(self, features, kernel, ids):
        """s, since z_y = s cos theta_y: for the margin heads over these logits."""
        return self.scale * kops.ones_like(features[..., 0])
