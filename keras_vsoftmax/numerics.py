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
from keras_vsoftmax.utils.gradients import with_gradient

# A row of upstream gradients whose sum is this small against its largest entry comes from a
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
    if len(features.shape) == 2:
        return features @ kernel
    leading = ops.shape(features)[:-1]
    flat = ops.reshape(features, (-1, features.shape[-1]))
    return ops.reshape(flat @ kernel, (*leading, kernel.shape[1]))


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
        return root(squared), squared

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
        return ops.take(root(squared), ids), squared

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

    The product is scaled by column, since that is cheaper than to scale the kernel.

    Args:
        features: Float tensor (..., d).
        kernel: Float tensor (d, units).

    Returns:
        Float tensor (..., units).
    """

    def forward(kernel):
        inverse = _inverse_norm(kernel, axis=0)
        return inverse, inverse

    def backward(tensors, inverse, g):
        return ((tensors[0] * inverse) * (-g * ops.square(inverse)),)

    inverse = with_gradient(forward, backward)(kernel)
    return product(features, kernel) * ops.squeeze(inverse, 0)


def _inverse_norm(x, axis):
    squared = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return _over_root(ops.ones_like(squared), squared)


def _over_root(a, squared):
    """a / sqrt(squared), and 0 with the gradient 0 where the square is 0."""
    return a / ops.sqrt(ops.where(squared > 0, squared, float("inf")))


def pick(x, ids):
    """x[..., ids]: one entry of each row.

    The gradient is written as a select instead of the scatter that a gather would give.

    Args:
        x: Float tensor (..., units).
        ids: int32 tensor (...,) with values in [0, units).

    Returns:
        Float tensor (...,).
    """

    def forward(x, ids):
        picked = ops.take_along_axis(x, ops.expand_dims(ids, -1), axis=-1)
        return ops.squeeze(picked, -1), None

    def backward(tensors, _, g):
        x, ids = tensors
        return ops.where(label_mask(ids, x.shape[-1]), ops.expand_dims(g, -1), 0.0), None

    return with_gradient(forward, backward)(x, ids)


def segment_sum(values, ids, segments):
    """The sum of the values of each id, (segments,), in their dtype.

    `keras.ops.segment_sum` computes in float32 under float64 on torch.

    Args:
        values: Float tensor (n,).
        ids: int32 tensor (n,) with values in [0, segments).
        segments: Integer.

    Returns:
        Float tensor (segments,).
    """
    if keras.backend.backend() == "torch":
        return values.new_zeros(segments).index_add(0, ids, values)
    return ops.segment_sum(values, ids, num_segments=segments)


def label_mask(ids, units):
    """Boolean (..., units): True in the column of the label."""
    return ops.equal(ops.arange(units, dtype="int32"), ops.expand_dims(ids, -1))


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

    def columns(tensors):
        given = dict(zip(named, tensors))
        return (
            ops.expand_dims(given[name], -1) if name in given else None
            for name in ("valid", "virtual", "target", "offset")
        )

    def forward(*tensors):
        z = tensors[0]
        given = dict(zip(named, tensors))
        valid, v, t, offset = columns(tensors)
        mask = None if t is None else label_mask(given["ids"], z.shape[-1])
        partition = given.get("modified", z)
        replaced = partition if t is None else ops.where(mask, t, partition)
        top = ops.max(replaced, axis=-1, keepdims=True)
        if v is not None:
            top = ops.where(v > top, v, top)
        # Logits are taken relative to the top throughout, so that large ones cost no digits.
        centred = z - top
        relative = centred if modified is None else partition - top
        exponentials = ops.exp(relative if t is None else ops.where(mask, t - top, relative))
        total = ops.sum(exponentials, axis=-1, keepdims=True)
        virtual_exponential = None
        if v is not None:
            virtual_exponential = ops.exp(v - top)
            total = total + virtual_exponential
        shift = ops.log(total)
        if offset is not None:
            shift = shift + offset
        output = centred - ops.where(valid, shift, float("nan"))
        return output, (output, top, mask, exponentials, virtual_exponential, total)

    def backward(tensors, kept, g):
        valid, v, t, offset = columns(tensors)
        output, top, mask, exponentials, virtual_exponential, total = kept
        g, row_sum = _guarded(g, output, valid, guard)
        scale = -row_sum / total
        others = scale * (exponentials if mask is None else ops.where(mask, 0.0, exponentials))
        grads = {"logits": g + others} if modified is None else {"logits": g, "modified": others}
        if v is not None:
            grads["virtual"] = ops.squeeze(scale * virtual_exponential, -1)
        if t is not None:
            grads["target"] = ops.squeeze(scale * ops.exp(t - top), -1)
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
        valid = ops.expand_dims(valid, -1)
        output = z - ops.where(valid, ops.expand_dims(partition, -1), float("nan"))
        return output, output

    def backward(tensors, output, g):
        g, row_sum = _guarded(g, output, ops.expand_dims(tensors[2], -1), guard)
        return g, ops.squeeze(-row_sum, -1), None

    return with_gradient(forward, backward)(logits, partition, valid)


def _guarded(g, output, valid, guard):
    """The gradients of the valid rows, and their sums (..., 1), NaN where the guard trips."""
    g = g * ops.cast(valid, g.dtype)
    row_sum = ops.sum(g, axis=-1, keepdims=True)
    if guard:
        row_sum = ops.where(_normalises_again(g, output, row_sum), float("nan"), row_sum)
    return g, row_sum


def _normalises_again(g, output, row_sum):
    """Whether gradients come from a loss that normalises the row, (..., 1), or (1, 1) for all."""
    largest = ops.max(ops.abs(g), axis=-1, keepdims=True)
    tripped = ops.abs(row_sum) < _GUARD_RATIO * largest
    if keras.backend.backend() == "tensorflow":
        return tripped  # there the heads mark their output as logits
    # A loss that divides by the row's sum: one row shows it, and costs nothing.
    units = g.shape[-1]
    product = ops.reshape(g, (-1, units))[:1] * ops.reshape(output, (-1, units))[:1]
    divides = ops.abs(ops.sum(product)) < _GUARD_RATIO * ops.max(ops.abs(product))
    return ops.logical_or(tripped, divides)


def divide_or_zero(a, b):
    """a / b for lengths b, and 0 where the length is 0."""
    return a / ops.where(b > 0, b, float("inf"))
