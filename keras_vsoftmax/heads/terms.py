"""What passes between a head's hooks and the partition that all heads share."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.labels import Labels


class Batch:
    """What a head sees of a training batch.

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
            there is no `target`.
        virtual: Float tensor (...,), the logit of a class that exists in training only.
        extra: Float tensor (...,), added to the loss of each row.
        loss: Float tensor (...,), a loss that is no cross-entropy. Such a head refuses label
            smoothing by itself.
    """

    target: Any = None
    others: Callable | None = None
    virtual: Any = None
    extra: Any = None
    loss: Any = None
