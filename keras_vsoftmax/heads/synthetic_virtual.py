"""SV-Softmax, the successor of Virtual Softmax: the virtual class steps away from the label."""

import keras
from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.heads.base import Head
from keras_vsoftmax.heads.checks import check_range
from keras_vsoftmax.heads.registry import register
from keras_vsoftmax.heads.virtual import VirtualClass


@register("synthetic_virtual")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class SyntheticVirtualSoftmax(VirtualClass, Head):
    """SV-Softmax: a virtual class that is synthesised from the features and the label's class.

        v = ||W_y|| h . x / ||h||,   h = m x / ||x|| - (1 - m) W_y / ||W_y||
        L = log( sum_j exp(z_j) + exp(v) ) - z_y

    for samples that are classified right (ties count as right); for the others
    v = ||W_y|| ||x||, as in Virtual Softmax. With c = cos theta_y,

        h . x / ||h|| = ||x|| (m - (1 - m) c) / sqrt((2m - 1)^2 + 2m (1 - m)(1 - c)),

    so that no class vector is gathered.

    Args:
        units: Integer, at least 2. Number of classes.
        margin: Float m in (0.5, 1]; 1 is Virtual Softmax.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`,
            `label_smoothing`, `block_size`, `class_sampling`, and those of `keras.layers.Layer`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.SyntheticVirtualSoftmax(10, margin=0.7).margin
    0.7

    Source: "SV-Softmax", Neural Networks 193, 2026.
    """

    title = "SV-Softmax"
    formula = "v = ‖W_y‖ h·x/‖h‖"
    source = "Neural Networks 193, 2026"
    ranges = {"margin": (0.55, 1.0)}

    def __init__(self, units, *, margin=0.6, **kwargs):
        super().__init__(units, **kwargs)
        check_range("margin", margin, above=0.5, high=1)
        self.margin = float(margin)

    def get_config(self):
        return {**super().get_config(), "margin": self.margin}

    def virtual_logit(self, batch):
        m = self.margin
        virtual = length = super().virtual_logit(batch)
        # Under label smoothing the virtual logit is that of the smoothed row, the angle is not.
        if self.label_smoothing:
            length = batch.label_length
        cosine = numerics.cosine(batch.label_logit, length)
        # By rounding alone the cosine passes 1.
        distance = kops.where(cosine < 1, 1 - cosine, 0.0)
        squared = (2 * m - 1) ** 2 + 2 * m * (1 - m) * distance
        factor = (m - (1 - m) * cosine) / kops.sqrt(squared)
        return virtual * kops.where(batch.classified_right, factor, 1.0)
