"""AdaCos: the scale of the cosines follows from the training itself."""

import math

import keras
from keras import ops as kops

from keras_vsoftmax.heads import global_batch
from keras_vsoftmax.heads.registry import register
from keras_vsoftmax.heads.scaled_cosine import ScaledCosineHead
from keras_vsoftmax.heads.terms import Terms


@register("adacos")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class AdaCos(ScaledCosineHead):
    """AdaCos: scaled cosines, with a scale that needs no tuning.

        z_j = s cos theta_j,   s from sqrt(2) log(units - 1) on
        B = mean_i sum_{j != y_i} exp(z_ij),   theta = median_i theta_{y_i}
        s <- log B / cos(min(theta, pi / 4)),   before it is used: z' = s cos
        L = logsumexp(z') - z'_y

    Mean and median (the lower one) are over the valid rows of the global batch, and s is a saved
    weight. No gradient flows through it. It stays at or above half of what it begins with: where
    few classes come to lie opposite each other, B falls below 1. Two classes have no
    log(units - 1): the other one counts as two there.

    Args:
        units: Integer, at least 2. Number of classes.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`,
            `label_smoothing`, `block_size`, `class_sampling`, and those of `keras.layers.Layer`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows. The
    output is a shift of the logits at the scale before the step.

    Example:

    >>> from keras_vsoftmax import heads
    >>> head = heads.AdaCos(10)
    >>> head.build((None, 4))
    >>> float(head.moving_scale)
    3.107...

    Source: Zhang, Zhao, Qiao, Wang, Li, "AdaCos: Adaptively Scaling Cosine Logits for Effectively
    Learning Deep Face Representations", CVPR 2019, equations 13 to 16.
    """

    title = "AdaCos"
    formula = "z_j = s cos θ_j, s = log B / cos(min(θ, π/4))"
    source = "Zhang, Zhao, Qiao, Wang, Li, CVPR 2019"

    def __init__(self, units, **kwargs):
        if "scale" in kwargs:
            raise ValueError(
                "AdaCos sets its scale by itself, from the number of classes and the angles of "
                f"each batch. Received: scale={kwargs['scale']!r}"
            )
        super().__init__(units, **kwargs)
        self.scale = math.sqrt(2) * math.log(max(self.units - 1, 2))

    def get_config(self):
        config = super().get_config()
        del config["scale"]  # which follows from the number of classes
        return config

    def add_state(self):
        super().add_state()
        self.moving_scale = self.add_number("scale", self.scale)

    def current_scale(self):
        return kops.convert_to_tensor(self.moving_scale) * 1  # a copy, before it is assigned

    def training_terms(self, batch):
        old = self.current_scale()
        ratio = self.next_scale(batch, old) / old
        return Terms(others=lambda logits: ratio * logits)

    def next_scale(self, batch, scale):
        """s of this step, which is kept."""
        valid, label_logit = batch.labels.valid, kops.stop_gradient(batch.label_logit)
        # Taken relative to s, which no logit passes: exp(s) may be too large.
        total = kops.exp(kops.stop_gradient(batch.log_others) - scale)
        total, count = global_batch.mean(total * (2 if self.units == 2 else 1), valid)
        found = total > 0
        log_total = kops.where(found, scale + kops.log(kops.where(found, total, 1.0)), 0.0)
        median, _ = global_batch.lower_median(-label_logit / scale, valid)  # of -cos, as of theta
        new = _at_least(log_total / _at_least(-median, math.sqrt(0.5)), self.scale / 2)
        return global_batch.moving(self.moving_scale, new, 1.0, count)


def _at_least(x, low):
    # `keras.ops.maximum`, and a number in a `where`, are of float32 on torch.
    return kops.where(x > low, x, kops.full_like(x, low))
