"""Noisy Softmax: noise on the label's logit keeps it from saturating early."""

import random

import keras
from keras import ops as kops

from keras_vsoftmax.distributed import replica
from keras_vsoftmax.heads.checks import check_range
from keras_vsoftmax.heads.margin import MarginHead, StepCounter
from keras_vsoftmax.heads.registry import register
from keras_vsoftmax.heads.step_seed import StepSeed


@register("noisy")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class NoisySoftmax(StepCounter, MarginHead):
    """Noisy Softmax: the label's logit is lowered by noise in training.

        z'_y = z_y - alpha ||W_y|| ||x|| (1 - cos theta_y) |xi|,   xi ~ N(0, 1) for each sample
        L = log( sum_{j != y} exp(z_j) + exp(z'_y) ) - z'_y

    The draw is a function of the seed, the step and the replica. The step is a saved weight,
    so that a resumed run draws on where it was, and the replicas of a distribution strategy
    draw differently. There is no noise outside training.

    Args:
        units: Integer, at least 2. Number of classes.
        alpha: Float, at least 0. Strength of the noise; 0 is plain softmax.
        seed: Integer, or None for one drawn at construction.
        **kwargs: `kernel_initializer`, `kernel_regularizer`, `kernel_constraint`,
            `label_smoothing`, `block_size`, `class_sampling`, and those of `keras.layers.Layer`.

    Call arguments and output: see `VirtualSoftmax`; labels are class ids, or one-hot rows.

    Example:

    >>> from keras_vsoftmax import heads
    >>> heads.NoisySoftmax(10, alpha=0.5, seed=1).alpha
    0.5

    Source: Chen, Deng, Du, "Noisy Softmax: Improving the Generalization Ability of DCNN via
    Postponing the Early Softmax Saturation", CVPR 2017, equation 5.
    """

    title = "Noisy Softmax"
    formula = "z'_y = z_y - α‖W_y‖‖x‖(1 - cos θ_y)·abs(ξ)"
    source = "Chen, Deng, Du, CVPR 2017"
    ranges = {"alpha": (0.05, 1.0)}

    def __init__(self, units, *, alpha=0.3, seed=None, **kwargs):
        super().__init__(units, **kwargs)
        check_range("alpha", alpha, low=0)
        self.alpha = float(alpha)
        # Python's generator is one of those that keras.utils.set_random_seed seeds.
        self.seed = random.randrange(2**31) if seed is None else int(seed)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "seed": self.seed}

    def modified_cosine(self, cosine, batch):
        seed = StepSeed(self.seed, self.next_step(), replica.replica_id())
        noise = kops.abs(keras.random.normal(kops.shape(cosine), dtype=cosine.dtype, seed=seed))
        return cosine - self.alpha * (1 - cosine) * noise
