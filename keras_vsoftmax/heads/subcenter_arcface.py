"""Sub-center ArcFace: several class vectors a class, of which the nearest counts."""

import keras
from keras import ops as kops

from keras_vsoftmax.heads.arcface import ArcFace
from keras_vsoftmax.heads.checks import check_range, is_integer
from keras_vsoftmax.heads.registry import register


@register("subcenter_arcface")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class SubcenterArcFace(ArcFace):
    """Sub-center ArcFace: a class may lie around several class vectors W_jk.

        z_j = s max_k cos theta_jk
        z'_y = s cos(theta_y + m),   theta_y the least of theta_yk, and beyond pi - m as `ArcFace`

    Wrong labels gather at sub-centers of their own, away from the rest of their class.

    Args:
        units: Integer, at least 2. Number of classes.
        sub_centers: Integer K, at least 1; 1 is ArcFace. The kernel is (d, units * K), the
            vectors of a class together.
        margin: Float m in [0, pi / 2), in radians.
        scale: Float s > 0. Fixed.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`,
            `label_smoothing`, `block_size`, `class_sampling`, and those of `keras.layers.Layer`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> head = heads.SubcenterArcFace(10)
    >>> head.build((None, 4))
    >>> tuple(head.kernel.shape)
    (4, 30)

    Source: Deng, Guo, Liu, Gong, Zafeiriou, "Sub-center ArcFace: Boosting Face Recognition by
    Large-Scale Noisy Web Faces", ECCV 2020, equation 3.
    """

    title = "Sub-center ArcFace"
    formula = "z'_y = s cos(θ_y + m), θ_j = min_k θ_jk"
    source = "Deng et al., ECCV 2020"
    ranges = {"margin": (0.1, 0.7), "scale": (8.0, 64.0), "sub_centers": [2, 3, 4]}

    def __init__(self, units, *, sub_centers=3, **kwargs):
        super().__init__(units, **kwargs)
        if not is_integer(sub_centers):
            raise ValueError(
                f"`sub_centers` must be an integer. Received: sub_centers={sub_centers!r}"
            )
        check_range("sub_centers", sub_centers, low=1)
        self.sub_centers = self.class_vectors = int(sub_centers)

    def get_config(self):
        return {**super().get_config(), "sub_centers": self.sub_centers}

    def plain_logits(self, features, kernel):
        every = super().plain_logits(features, kernel)
        classes = kernel.shape[1] // self.sub_centers
        by_class = kops.reshape(every, (*kops.shape(every)[:-1], classes, self.sub_centers))
        return kops.max(by_class, axis=-1)
