"""Virtual Softmax: one more negative class in training, in the direction of the features."""

import keras
from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.heads.base import Head
from keras_vsoftmax.heads.checks import check_range, is_integer
from keras_vsoftmax.heads.margin import StepCounter
from keras_vsoftmax.heads.registry import register
from keras_vsoftmax.heads.terms import Terms


class VirtualClass(StepCounter):
    """Mixin of the heads with a virtual class: v = ||x|| sum_c q_c ||W_c||, q the smoothed row.

    With `strength` below 1, and over the first `warmup_steps`, v is replaced by

        v' = t + r (v - t) + log r,   t = sum_c q_c z_c,   r = strength min(1, step / warmup_steps)

    which is no virtual class at r = 0, and v at r = 1. The loss stays above log(1 + r).
    """

    def __init__(self, units, *, warmup_steps=0, strength=1.0, **kwargs):
        super().__init__(units, **kwargs)
        if not is_integer(warmup_steps) or warmup_steps < 0:
            raise ValueError(
                "`warmup_steps` must be an integer of at least 0, the number of training steps "
                "over which the virtual class comes in. "
                f"Received: warmup_steps={warmup_steps!r}"
            )
        check_range("strength", strength, above=0, high=1)
        self.warmup_steps, self.strength = int(warmup_steps), float(strength)

    @property
    def current_strength(self):
        """r of the next training step, as a float."""
        if not self.warmup_steps:
            return self.strength
        return self.strength * min(1.0, self.steps_taken / self.warmup_steps)

    def get_config(self):
        names = ("warmup_steps", "strength")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    @classmethod
    def run_knobs(cls, iterations, warmup=0.0, strength=1.0):
        knobs = {"warmup_steps": round(warmup * iterations)} if warmup else {}
        return knobs if strength == 1 else {**knobs, "strength": strength}

    def add_state(self):
        # Without a warm-up there is no schedule to keep, and files hold the kernel alone.
        if self.warmup_steps:
            super().add_state()

    def training_terms(self, batch):
        virtual = self.virtual_logit(batch)
        if self.warmup_steps or self.strength < 1:
            target, r = self.smoothed_logit(batch), self._next_strength(virtual.dtype)
            virtual = kops.where(r < 1, target + r * (virtual - target) + kops.log(r), virtual)
        return Terms(virtual=virtual)

    def _next_strength(self, dtype):
        """r of this training forward pass, which is counted."""
        highest = kops.cast(self.strength, dtype)
        if not self.warmup_steps:
            return highest
        share = kops.cast(self.next_step(), dtype) / self.warmup_steps
        return kops.where(share < 1, share * highest, highest)

    def virtual_logit(self, batch):
        """v (...,)."""
        e = self.label_smoothing
        if batch.labels.rows is None and not e:
            return batch.label_length
        norm = (1 - e) * batch.label_norm + e * batch.mean_norm
        return numerics.norm(batch.features) * norm


@register("virtual")
@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class VirtualSoftmax(VirtualClass, Head):
    """Virtual Softmax: a softmax head with a virtual negative class in training.

        z_j = W_j . x,   v = ||W_y|| ||x||
        L = log( sum_j exp(z_j) + exp(v) ) - z_y
          = cross-entropy + softplus(v - logsumexp_j z_j)

    The virtual class lies in the direction of the features themselves, so that v >= z_y,
    p(label) <= 1/2 and L >= log 2 in training, however well the sample is classified: the
    features of a class go on growing compact, and away from the other classes. Gradients flow
    through both norms; nothing is clipped. Outside training there is no virtual class, and no
    label is needed.

    For rows q (one-hot, or soft as from mixup) v = ||x|| sum_c q_c ||W_c|| and
    L = log( sum_j exp(z_j) + exp(v) ) - sum_c q_c z_c.

    The output holds log-probabilities, z - logsumexp(z) outside training and
    z - log( sum_j exp(z_j) + exp(v) ) in training. `keras_vsoftmax.VirtualSoftmaxLoss` is the
    loss that goes with it. A stock cross-entropy normalises the row again, which removes the
    virtual class; the backward pass notices it and makes the gradient NaN.

    Args:
        units: Integer, at least 2. Number of classes.
        kernel_initializer: Initializer of the kernel (d, units).
        kernel_regularizer: Regularizer of the kernel.
        kernel_constraint: Constraint of the kernel.
        label_smoothing: Float in [0, 1), e in q = (1 - e) onehot(label) + e / units. The
            virtual logit is that of q, so that smoothing ids is the same as passing q.
        warmup_steps: Integer. Number of training steps over which the virtual class comes in: v
            becomes z_y + r (v - z_y) + log r, r from 0 to `strength`. 0, the default, has the
            whole of it from the first step, as published.
        strength: Float r in (0, 1], how much of the virtual class is there then. Below 1 the loss
            stays above log(1 + r) in place of log 2.
        **kwargs: `block_size`, `class_sampling` and the others of `Head`, and those of
            `keras.layers.Layer`.

    Call arguments:
        inputs: Features (..., d).
        labels: Class ids, integers or integral floats, of shape (...,) or (..., 1); or rows of
            probabilities (..., units). Needed in training.
        training: Boolean.

    Output shape: (..., units), float32, or float64 under a float64 policy; (..., 2) with
    `block_size` and labels.

    Raises:
        ValueError: For `units` below 2, features without a known last dimension, labels of a
            shape that fits neither form, and training without labels. An id outside
            [0, units), or a row that is no probability distribution, makes its output row NaN.

    Example:

    >>> import keras
    >>> import keras_vsoftmax
    >>> image = keras.Input((28, 28))
    >>> label = keras.Input((), dtype="int32")
    >>> features = keras.layers.Dense(64, activation="relu")(keras.layers.Flatten()(image))
    >>> output = keras_vsoftmax.VirtualSoftmax(10)(features, label)
    >>> model = keras.Model([image, label], output)
    >>> model.compile("adam", keras_vsoftmax.VirtualSoftmaxLoss(), metrics=["accuracy"])

    Source: Chen, Deng, Shen, "Virtual Class Enhanced Discriminative Embedding Learning",
    NeurIPS 2018 (arXiv 1811.12611), equations 4 and 5.
    """

    title = "Virtual Softmax"
    formula = "L = log(Σ exp z + exp v) - z_y"
    source = "Chen, Deng, Shen, NeurIPS 2018"
    accepts_rows = True
