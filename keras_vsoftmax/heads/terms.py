"""What passes between a head's hooks and the partition that all heads share."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.labels import Labels


class Batch:
    """What a head sees of a training batch.

    With `block_size` nothing holds the logits or the rounded kernel of all classes: to ask for
    `logits`, `kernel` or `at_label` is an error then, and the rest is there, exactly as without.

    Args:
        features: Float tensor x (..., d), rounded to the compute dtype, held in the output dtype.
        kernel: Float tensor (d, units * class_vectors), likewise.
        labels: `keras_vsoftmax.labels.Labels`: `ids` (...,) or `rows` (..., units), and `valid`
            (...,), False where a label was bad. Bad rows become NaN by themselves; only what a
            head keeps from step to step must leave them out.
        logits: Float tensor z (..., units).
    """

    def __init__(self, features: Any, kernel: Any, labels: Labels, logits: Any):
        self.features = features
        self.kernel = kernel
        self.labels = labels
        self.logits = logits

    @functools.cached_property
    def label_logit(self):
        """z_y (...,); for rows q of probabilities sum_c q_c z_c."""
        return self.at_label(self.logits)

    @functools.cached_property
    def mean_logit(self):
        """The mean of z over all classes (...,)."""
        return kops.sum(self.logits, axis=-1) / self.logits.shape[-1]

    @property
    def classified_right(self):
        """Boolean (...,): whether no logit is above the label's."""
        return self.label_logit >= kops.max(self.logits, axis=-1)

    @functools.cached_property
    def log_others(self):
        """log sum_j exp(z_j) over the classes j != y (...,); for ids."""
        mask = numerics.label_mask(self.labels.ids, self.logits.shape[-1])
        return kops.logsumexp(kops.where(mask, -float("inf"), self.logits), axis=-1)

    @property
    def label_length(self):
        """||W_y|| ||x|| (...,), for one class vector a class; for ids."""
        return numerics.virtual_logit(self.features, self.kernel, self.labels.ids)

    @property
    def label_norm(self):
        """||W_y|| (...,), for one class vector a class; for rows q sum_c q_c ||W_c||."""
        if self.labels.rows is None:
            return kops.take(self._norms, self.labels.ids)
        return kops.sum(self.labels.rows * self._norms, axis=-1)

    @property
    def mean_norm(self):
        """The mean of ||W_c|| over all classes, a scalar, or (...,)."""
        return kops.sum(self._norms) / self.kernel.shape[1]

    @functools.cached_property
    def _norms(self):
        return numerics.norm(self.kernel, axis=0)

    def at_label(self, logits):
        """The label's entry of each row (...,); for rows of probabilities their mean."""
        if self.labels.rows is None:
            return numerics.pick(logits, self.labels.ids)
        return kops.sum(self.labels.rows * logits, axis=-1)


class Terms(NamedTuple):
    """What makes the loss of a head; what is left out is as in the plain softmax.

        L = log( sum_j exp(z'_j) + exp(v) ) - sum_c q_c z'_c + extra

    with z'_y = target, z'_j = others(z)_j for j != y, v = virtual, and q the label's row with
    label smoothing. With `loss`, L is that instead.

    Attributes:
        target: Float tensor (...,), the label's logit in training.
        others: Function of logits z (..., n) that gives z' of the same shape, entry by entry:
            it may meet all columns or some of them, and its value at the label counts only where
            there is no `target`. No gradient may flow through what it closes over: stop it there.
        virtual: Float tensor (...,), the logit of a class that exists in training only.
        extra: Float tensor (...,), added to the loss of each row.
        loss: Float tensor (...,), a loss that is no cross-entropy. Such a head refuses label
            smoothing by itself, and says so by `is_softmax = False`.
    """

    target: Any = None
    others: Callable | None = None
    virtual: Any = None
    extra: Any = None
    loss: Any = None
