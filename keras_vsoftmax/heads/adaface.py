"""AdaFace: the margin depends on the length of the features, which tells an image's quality."""

import math

import keras
from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.heads import global_batch
from keras_vsoftmax.heads.checks import check_range
from keras_vsoftmax.heads.margin import MarginHead
from keras_vsoftmax.heads.registry import register
from keras_vsoftmax.heads.scaled_cosine import ScaledCosineHead

_SHARE = 0.01  # of a batch in the moving averages
_SMALL = 1e-3


@register("adaface")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class AdaFace(ScaledCosineHead, MarginHead):
    """AdaFace: hard samples count for more where features are long, easy ones where short.

        z_j = s cos theta_j,   a = ||x||, within [0.001, 100]
        q = h (a - mean) / (deviation + 0.001), within [-1, 1]
        z'_y = s (cos(theta_y - m q) - m - m q),   theta_y - m q within [0, pi]

    Mean and deviation are moving averages, 0.99 of the old and 0.01 of those over the valid rows
    of the global batch, from 20 and 100 on, and saved weights. No gradient flows through q.

    Args:
        units: Integer, at least 2. Number of classes.
        margin: Float m in [0, pi / 2).
        concentration: Float h > 0: the less, the less the margin depends on the length.
        scale: Float s > 0. Fixed.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`,
            `label_smoothing`, `block_size`, `class_sampling`, and those of `keras.layers.Layer`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.AdaFace(10).concentration
    0.333

    Source: Kim, Jain, Liu, "AdaFace: Quality Adaptive Margin for Face Recognition", CVPR 2022,
    equations 12 to 15, with the values of its authors' code.
    """

    title = "AdaFace"
    formula = "z'_y = s(cos(θ_y - m q) - m - m q), q from ‖x‖"
    source = "Kim, Jain, Liu, CVPR 2022"
    ranges = {"margin": (0.1, 0.6), "scale": (8.0, 64.0), "concentration": (0.1, 1.0)}

    def __init__(
        self,
        units,
        *,
        margin=0.4,
        concentration=0.333,
        scale=64.0,
        kernel_initializer="lecun_uniform",  # columns of a length of about 1
        **kwargs,
    ):
        super().__init__(units, scale=scale, kernel_initializer=kernel_initializer, **kwargs)
        check_range("margin", margin, low=0, below=math.pi / 2)
        check_range("concentration", concentration, above=0)
        self.margin = float(margin)
        self.concentration = float(concentration)

    def get_config(self):
        names = ("margin", "concentration")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def add_state(self):
        super().add_state()
        self.length_mean = self.add_number("length_mean", 20.0)
        self.length_deviation = self.add_number("length_deviation", 100.0)

    def quality(self, batch):
        """q (...,), with the averages brought up to date."""
        length = kops.stop_gradient(numerics.norm(batch.features))
        length = kops.where(length < _SMALL, _SMALL, kops.where(length > 100, 100.0, length))
        mean, deviation, count = global_batch.mean_and_deviation(length, batch.labels.valid)
        mean = global_batch.moving(self.length_mean, mean, _SHARE, count)
        # One row has no deviation.
        deviation = global_batch.moving(self.length_deviation, deviation, _SHARE, count - 1)
        q = self.concentration * (length - mean) / (deviation + _SMALL)
        return kops.where(q < -1, -1.0, kops.where(q > 1, 1.0, q))

    def modified_cosine(self, cosine, batch):
        q = self.quality(batch)
        turned = numerics.cosine_of_sum(cosine, -self.margin * q)
        # Where theta - m q leaves [0, pi], on the side to which it turns.
        limit = numerics.circular("cos", self.margin * q)
        turned = kops.where(kops.logical_and(q > 0, cosine > limit), 1.0, turned)
        turned = kops.where(kops.logical_and(q < 0, cosine < -limit), -1.0, turned)
        return turned - self.margin - self.margin * q
