"""Pure array functions on `keras.ops`: norms, picks, and the log-probabilities of all heads.

Notation, for one row: features x in R^d, class vectors W_j (the columns of the kernel), logits
z_j = W_j . x, label y. The virtual logit is v = ||W_y|| ||x||.
"""

import keras
from keras import ops

from keras_vsoftmax.angles import (  # noqa: F401 (public here)
    circular,
    cosine,
    cosine_of_sum,
    multiple_angle_margin,
    root,
    sine,
)
from keras_vsoftmax.utils.gradients import after, with_gradient
from keras_vsoftmax.utils.lookups import (  # noqa: F401 (public here)
    label_mask,
    pick,
    picked,
    segment_sum,
    take,
)

# A row of upstream gradients whose sum is this small against its range comes from a
# loss that normalises the row again: the gradient of such a loss sums to zero. Where a loss takes
# the row for probabilities and divides by its sum, the products of gradient and row do.
_GUARD_RATIO = 1e-3


def product(features, kernel):
    """features . kernel, in their dtype.

    `keras.ops.matmul` would compute in float32 under float64 on torch.

    Args:
        features: Float tensor (..., d).
        kernel: Float tensor (d, units).

    Returns:
        Float tensor (..., units).
    """
    logits = _rows(features) @ kernel
    if len(features.shape) == 2:
        return logits
    return ops.reshape(logits, (*ops.shape(features)[:-1], kernel.shape[1]))


def norm(x, axis=-1):
    """Euclidean norm along an axis, with the gradient 0 at the zero vector.

    `keras.ops.norm` has a NaN gradient there.

    Args:
        x: Float tensor.
        axis: The axis that is reduced.

    Returns:
        Float tensor with `axis` removed.
    """

    def forward(x):
        squared = ops.sum(ops.square(x), axis=axis)
        return _over_root(squared, squared), squared

    def backward(tensors, squared, g):
        return (tensors[0] * ops.expand_dims(_over_root(g, squared), axis),)

    return with_gradient(forward, backward)(x)


def label_norms(kernel, ids):
    """Norms ||W_y|| of the class vectors of the labels.

    All columns' norms are computed and the labels' ones looked up, which is cheaper than to
    gather columns of a row-major kernel, and far cheaper to differentiate.

    Args:
        kernel: Float tensor (d, units).
        ids: int32 tensor (...,) with values in [0, units).

    Returns:
        Float tensor (...,).
    """

    def forward(kernel, ids):
        squared = ops.sum(ops.square(kernel), axis=0)
        return take(_over_root(squared, squared), ids), squared

    def backward(tensors, squared, g):
        kernel, ids = tensors
        g = segment_sum(ops.reshape(g, (-1,)), ops.reshape(ids, (-1,)), kernel.shape[1])
        return kernel * _over_root(g, squared), None

    return with_gradient(forward, backward)(kernel, ids)


def unit(x, axis=-1):
    """x / ||x|| along an axis; the zero vector stays zero, with the gradient 0.

    Args:
        x: Float tensor.
        axis: The axis along which the norm is taken.

    Returns:
        Float tensor like x.
    """

    def forward(x):
        inverse = _inverse_norm(x, axis)
        y = x * inverse
        return y, (y, inverse)

    def backward(tensors, kept, g):
        y, inverse = kept
        return ((g - y * ops.sum(g * y, axis=axis, keepdims=True)) * inverse,)

    return with_gradient(forward, backward)(x)


def unit_class_logits(features, kernel):
    """Logits with class vectors of unit norm, x . W_j / ||W_j||; 0 where W_j is zero.

    The product is scaled by column, since that is cheaper than to scale the kernel. The gradient
    of the norms is a projection of that of the columns, for which no product need be kept.

    Args:
        features: Float tensor (..., d).
        kernel: Float tensor (d, units).

    Returns:
        Float tensor (..., units).
    """

    def forward(features, kernel):
        inverse = _inverse_norm(kernel, axis=0)
        return product(features, kernel) * ops.squeeze(inverse, 0), inverse

    def backward(tensors, inverse, g):
        features, kernel = tensors
        g = g * ops.squeeze(inverse, 0)
        by_features = product(g, ops.transpose(kernel))
        by_kernel = product(ops.transpose(_rows(features)), _rows(g))
        along = ops.sum(kernel * by_kernel, axis=0, keepdims=True)
        return by_features, by_kernel - kernel * (along * ops.square(inverse))

    return with_gradient(forward, backward)(features, kernel)


def _rows(x):
    """(..., d) as (n, d)."""
    return x if len(x.shape) == 2 else ops.reshape(x, (-1, x.shape[-1]))


def _inverse_norm(x, axis):
    squared = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return _over_root(ops.ones_like(squared), squared)


def _over_root(a, squared):
    """a / sqrt(squared), and 0 with the gradient 0 where the square is 0."""
    return a / ops.sqrt(ops.where(squared > 0, squared, float("inf")))


def virtual_logit(features, kernel, ids):
    """The logit of the virtual class, v = ||W_y|| ||x||.

    Args:
        features: Float tensor (..., d).
        kernel: Float tensor (d, units).
        ids: int32 tensor (...,) with values in [0, units).

    Returns:
        Float tensor (...,).

    Source: Chen, Deng, Shen, "Virtual Class Enhanced Discriminative Embedding Learning",
    NeurIPS 2018, equation 4.
    """
    return norm(features) * label_norms(kernel, ids)


def literal_logits(features, kernel, ids):
    """The published form: units + 1 logits, the virtual one last.

    A softmax cross-entropy over these with the same ids is the loss of Virtual Softmax. Its
    argmax says nothing about the accuracy, and it costs more than `VirtualSoftmax`, which is
    why the layer does not use it.

    Args:
        features: Float tensor (..., d).
        kernel: Float tensor (d, units).
        ids: int32 tensor (...,) with values in [0, units).

    Returns:
        Float tensor (..., units + 1).

    Example:

    >>> import numpy as np
    >>> from keras_vsoftmax import numerics
    >>> logits = numerics.literal_logits(
    ...     np.array([[2.0, 1.0]], "float32"),
    ...     np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]], "float32"),
    ...     np.array([0], "int32"),
    ... )
    >>> logits.shape[-1]
    4

    Source: Chen, Deng, Shen, NeurIPS 2018, equation 5.
    """
    features, kernel = ops.convert_to_tensor(features), ops.convert_to_tensor(kernel)
    label_kernel = ops.take(kernel, ops.convert_to_tensor(ids), axis=1)  # (d, ...)
    virtual = norm(features) * norm(label_kernel, axis=0)
    return ops.concatenate([product(features, kernel), ops.expand_dims(virtual, -1)], axis=-1)


def log_probs(
    logits, valid, virtual=None, target=None, ids=None, modified=None, offset=None, guard=True
):
    """Log-probabilities in training: the logits, shifted row by row.

        out = z - P,   P = log( sum_j exp(z'_j) + exp(v) ) + offset

    z' is z, or `modified` where it is given, with the label's logit replaced by `target`, where
    one is given; the second exponential is there where `virtual` is given.

    The backward pass is written out, for speed and for the guard. With upstream gradients g and
    w = -sum_j g_j, the gradient is g_j for a logit z_j, w exp(z'_j - P + offset) for z'_j, and
    w exp(v - P + offset) for the virtual one. A non-zero row of g that sums to zero comes from
    a loss that normalises the row again, and would drop the virtual class or the margin without
    a word; the guard makes such a row's gradients NaN.

    One matrix (..., units) is kept for the backward pass, the logits relative to their top; the
    exponentials are made again.

    Args:
        logits: Float tensor z (..., units).
        valid: Boolean tensor (...,). Where False, the row is NaN and its gradient zero.
        virtual: Float tensor v (...,), or None.
        target: Float tensor (...,), the label's logit with its margin, or None.
        ids: int32 tensor (...,), the labels; needed where `target` is given.
        modified: Float tensor (..., units), the logits of the partition where they are not those
            of the output, or None.
        offset: Float tensor (...,), or None.
        guard: Whether the guard is on.

    Returns:
        Float tensor (..., units).
    """
    named = {"logits": logits, "valid": valid, "virtual": virtual, "target": target}
    named |= {"ids": ids, "modified": modified, "offset": offset}
    named = {name: value for name, value in named.items() if value is not None}

    def columns(given):
        # What is added to the sum of exponentials of the matrix, and the offset.
        added = {
            name: ops.expand_dims(given[name], -1)
            for name in ("virtual", "target")
            if name in given
        }
        return added, ops.expand_dims(given["offset"], -1) if "offset" in given else None

    def forward(*tensors):
        given = dict(zip(named, tensors))
        added, offset = columns(given)
        z = given["logits"]
        others = given.get("modified", z)
        if target is not None:
            # TensorFlow selects a scalar in place, and would copy the matrix for a column.
            others = ops.where(label_mask(given["ids"], z.shape[-1]), -float("inf"), others)
        top = ops.max(others, axis=-1, keepdims=True, initial=-float("inf"))
        for value in added.values():
            top = ops.where(value > top, value, top)
        # Logits are taken relative to the top throughout, so that large ones cost no digits.
        relative = others - top
        total = ops.sum(ops.exp(relative), axis=-1, keepdims=True)
        for value in added.values():
            total = total + ops.exp(value - top)
        shift = ops.log(total) if offset is None else ops.log(total) + offset
        shift = ops.where(ops.expand_dims(given["valid"], -1), shift, float("nan"))
        if modified is not None:
            output = (z - top) - shift
        elif target is None:
            output = relative - shift
        else:
            # Not z - top, so that the matrix of the others can take the place of z.
            label_logit = ops.expand_dims(picked(z, given["ids"]), -1)
            mask = label_mask(after(given["ids"], total), z.shape[-1])
            output = ops.where(mask, (label_logit - top) - shift, relative - shift)
        return output, (relative, top, total)

    def backward(tensors, kept, g):
        given = dict(zip(named, tensors))
        added, offset = columns(given)
        relative, top, total = kept
        shift = top + ops.log(total) if offset is None else top + ops.log(total) + offset
        g, row_sum = _guarded(g, given["logits"], shift, given["valid"], guard)
        scale = -row_sum / total
        others = scale * ops.exp(relative)
        grads = {"logits": g + others} if modified is None else {"logits": g, "modified": others}
        for name, value in added.items():
            grad = ops.squeeze(scale * ops.exp(value - top), -1)
            grads[name] = after(grad, grads["logits"])
        if offset is not None:
            grads["offset"] = ops.squeeze(-row_sum, -1)
        return tuple(grads.get(name) for name in named)

    return with_gradient(forward, backward)(*named.values())


def shift(logits, partition, valid, guard=True):
    """z - P row by row, for a loss that is no cross-entropy; with the guard of `log_probs`.

    Args:
        logits: Float tensor z (..., units).
        partition: Float tensor P (...,).
        valid: Boolean tensor (...,). Where False, the row is NaN and its gradient zero.
        guard: Whether the guard is on.

    Returns:
        Float tensor (..., units).
    """

    def forward(z, partition, valid):
        shift = ops.where(valid, partition, float("nan"))
        return z - ops.expand_dims(shift, -1), None

    def backward(tensors, _, g):
        z, partition, valid = tensors
        g, row_sum = _guarded(g, z, ops.expand_dims(partition, -1), valid, guard)
        return g, ops.squeeze(-row_sum, -1), None

    return with_gradient(forward, backward)(logits, partition, valid)


def _guarded(g, logits, shift, valid, guard):
    """The gradients of the valid rows, and their sums (..., 1), NaN where the guard trips."""
    g = g * ops.cast(ops.expand_dims(valid, -1), g.dtype)
    row_sum = ops.sum(g, axis=-1, keepdims=True)
    if guard:
        row_sum = ops.where(_normalises_again(g, logits, shift, row_sum), float("nan"), row_sum)
    return g, row_sum


def _normalises_again(g, logits, shift, row_sum):
    """Whether gradients come from a loss that normalises the row, (..., 1), or (1, 1) for all."""
    # The range of the row: its absolute values would be a matrix more.
    highest = ops.max(g, axis=-1, keepdims=True, initial=-float("inf"))
    spread = highest - ops.min(g, axis=-1, keepdims=True, initial=float("inf"))
    tripped = ops.abs(row_sum) < _GUARD_RATIO * spread
    if keras.backend.backend() == "tensorflow":
        return tripped  # there the heads mark their output as logits
    # A loss that divides by the row's sum: one row shows it, and costs nothing.
    first, row, shift = (ops.reshape(x, (-1, x.shape[-1]))[:1] for x in (g, logits, shift))
    product = first * (row - shift)
    divides = ops.abs(ops.sum(product)) < _GUARD_RATIO * ops.max(ops.abs(product))
    return ops.logical_or(tripped, divides)


def divide_or_zero(a, b):
    """a / b for lengths b, and 0 where the length is 0."""
    return a / ops.where(b > 0, b, float("inf"))
