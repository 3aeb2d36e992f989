"""CurricularFace: the hard negatives weigh more as the training goes on."""

import keras
from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.heads import global_batch
from keras_vsoftmax.heads.arcface import ArcFace
from keras_vsoftmax.heads.registry import register

_SHARE = 0.01  # of a batch in the moving average


@register("curricular")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class CurricularFace(ArcFace):
    """CurricularFace: ArcFace, with the hard negatives weighed by how far the training is.

        z_j = s cos theta_j,   z'_y as in `ArcFace`
        z'_j = s cos theta_j (t + cos theta_j)   where cos theta_j > cos(theta_y + m), else z_j
        t <- 0.99 t + 0.01 mean_i cos theta_{y_i},   from 0 on, before it is used

    t is a saved weight, and its mean that over the valid rows of the global batch. No gradient
    flows through it.

    Args:
        units: Integer, at least 2. Number of classes.
        margin: Float m in [0, pi / 2), in radians.
        scale: Float s > 0. Fixed.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`,
            `label_smoothing`, `block_size`, `class_sampling`, and those of `keras.layers.Layer`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.CurricularFace(10, margin=0.4).margin
    0.4

    Source: Huang et al., "CurricularFace: Adaptive Curriculum Learning Loss for Deep Face
    Recognition", CVPR 2020, equations 5 to 8.
    """

    title = "CurricularFace"
    formula = "z'_y = s cos(θ_y + m), z'_j = s cos θ_j (t + cos θ_j) where cos θ_j > cos(θ_y + m)"
    source = "Huang et al., CVPR 2020"

    def __init__(self, units, *, scale=64.0, kernel_initializer=None, **kwargs):
        if kernel_initializer is None:
            kernel_initializer = keras.initializers.RandomNormal(stddev=0.01)
        super().__init__(units, scale=scale, kernel_initializer=kernel_initializer, **kwargs)

    def add_state(self):
        super().add_state()
        self.progress = self.add_number("progress", 0.0)

    def training_terms(self, batch):
        cosine = batch.label_logit / self.scale
        t = self.advanced(cosine, batch.labels.valid)
        turned = numerics.cosine_of_sum(kops.stop_gradient(cosine), self.margin)
        limit = self.scale * kops.expand_dims(turned, -1)

        def others(logits):
            hard = logits * (t + logits / self.scale)
            return kops.where(logits > limit, hard, logits)

        return super().training_terms(batch)._replace(others=others)

    def advanced(self, cosine, valid):
        """t of this step, which is kept."""
        centre, count = global_batch.mean(cosine, valid)
        return global_batch.moving(self.progress, centre, _SHARE, count)
