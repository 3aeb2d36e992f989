"""MagFace: the margin grows with the length of the features, which is drawn upwards."""

import math

import keras
from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.heads.checks import check_range
from keras_vsoftmax.heads.margin import MarginHead
from keras_vsoftmax.heads.registry import register
from keras_vsoftmax.heads.scaled_cosine import ScaledCosineHead

# Lengths between which the margin grows.
_SHORT, _LONG = 10.0, 110.0


@register("magface")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class MagFace(ScaledCosineHead, MarginHead):
    """MagFace: a margin that depends on the length of the features, and a pull on that length.

        z_j = s cos theta_j,   a = ||x||, within [10, 110]
        m(a) = margin + (high_margin - margin) (a - 10) / 100
        z'_y = s cos(theta_y + m(a))   where cos theta_y > 0, else z_y
        L = log sum_j exp(z'_j) - z'_y + pull (1 / a + a / 110^2)

    So the length tells how good a sample is. The pull is part of L: sample weights and
    `ignore_class` reach it, and it is absent outside training. The network below should give
    lengths of some tens: outside [10, 110] nothing pulls at them.

    Args:
        units: Integer, at least 2. Number of classes.
        margin: Float in [0, pi / 2), in radians, that of short features.
        high_margin: Float, from `margin` to below pi / 2, that of long ones.
        pull: Float, at least 0, the weight of the regulariser of the length.
        scale: Float s > 0. Fixed.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`,
            `label_smoothing`, `block_size`, `class_sampling`, and those of `keras.layers.Layer`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.MagFace(10, pull=20).pull
    20.0

    Source: Meng, Zhao, Huang, Zhou, "MagFace: A Universal Representation for Face Recognition
    and Quality Assessment", CVPR 2021, equations 3 to 5, with the values of its authors' code.
    """

    title = "MagFace"
    formula = "z'_y = s cos(θ_y + m(‖x‖)), L + λ g(‖x‖)"
    source = "Meng, Zhao, Huang, Zhou, CVPR 2021"
    ranges = {"margin": (0.1, 0.5), "scale": (8.0, 64.0), "pull": (1.0, 50.0)}

    def __init__(
        self,
        units,
        *,
        margin=0.45,
        high_margin=0.8,
        pull=35.0,
        scale=64.0,
        kernel_initializer="lecun_uniform",  # columns of a length of about 1
        **kwargs,
    ):
        super().__init__(units, scale=scale, kernel_initializer=kernel_initializer, **kwargs)
        check_range("margin", margin, low=0, below=math.pi / 2)
        check_range("high_margin", high_margin, low=margin, below=math.pi / 2)
        check_range("pull", pull, low=0)
        self.margin = float(margin)
        self.high_margin = float(high_margin)
        self.pull = float(pull)

    def get_config(self):
        names = ("margin", "high_margin", "pull")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def length(self, batch):
        """a (...,)."""
        length = numerics.norm(batch.features)
        return kops.where(length < _SHORT, _SHORT, kops.where(length > _LONG, _LONG, length))

    def modified_cosine(self, cosine, batch):
        slope = (self.high_margin - self.margin) / (_LONG - _SHORT)
        margin = self.margin + slope * (self.length(batch) - _SHORT)
        return kops.where(cosine > 0, numerics.cosine_of_sum(cosine, margin), cosine)

    def training_terms(self, batch):
        length = self.length(batch)
        extra = self.pull * (1 / length + length / _LONG**2)
        return super().training_terms(batch)._replace(extra=extra)
