"""Pure array functions on `keras.ops`: norms, picks, and the log-probabilities of all heads.

Notation, for one row: features x in R^d, class vectors W_j (the columns of the kernel), logits
z_j = W_j . x, label y. The virtual logit is v = ||W_y|| ||x||.
"""

from keras import ops

# A row of upstream gradients whose sum is this small against its largest entry comes from a
# loss that normalises the row again: the gradient of such a loss sums to zero.
_GUARD_RATIO = 1e-3


def _upstream(args, upstream):
    # TensorFlow and JAX hand the upstream gradient over by position, torch by name.
    return args[-1] if upstream is None else upstream


def norm(x, axis=-1):
    """Euclidean norm along an axis, with the gradient 0 at the zero vector.

    `keras.ops.norm` has a NaN gradient there.

    Args:
        x: Float tensor.
        axis: The axis that is reduced.

    Returns:
        Float tensor with `axis` removed.
    """

    @ops.custom_gradient
    def forward(x):
        length = ops.sqrt(ops.sum(ops.square(x), axis=axis))

        def backward(*args, upstream=None):
            g = _upstream(args, upstream)
            return x * ops.expand_dims(_divide_or_zero(g, length), axis)

        return length, backward

    return forward(x)


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

    @ops.custom_gradient
    def forward(kernel, ids):
        lengths = ops.sqrt(ops.sum(ops.square(kernel), axis=0))

        def backward(*args, upstream=None):
            g = ops.reshape(_upstream(args, upstream), (-1,))
            g = ops.segment_sum(g, ops.reshape(ids, (-1,)), num_segments=kernel.shape[1])
            return kernel * _divide_or_zero(g, lengths), None

        return ops.take(lengths, ids), backward

    return forward(kernel, ids)


def pick(x, ids):
    """x[..., ids]: one entry of each row.

    The gradient is written as a select instead of the scatter that a gather would give.

    Args:
        x: Float tensor (..., units).
        ids: int32 tensor (...,) with values in [0, units).

    Returns:
        Float tensor (...,).
    """

    @ops.custom_gradient
    def forward(x, ids):
        picked = ops.squeeze(ops.take_along_axis(x, ops.expand_dims(ids, -1), axis=-1), -1)

        def backward(*args, upstream=None):
            g = ops.expand_dims(_upstream(args, upstream), -1)
            return ops.where(label_mask(ids, x.shape[-1]), g, ops.zeros_like(g)), None

        return picked, backward

    return forward(x, ids)


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
    >>> from keras_vsoftmax import ops
    >>> logits = ops.literal_logits(
    ...     np.array([[2.0, 1.0]], "float32"),
    ...     np.array([[1.0, 0.0, -1.0], [0.0, 1.0, -1.0]], "float32"),
    ...     np.array([0], "int32"),
    ... )
    >>> logits.shape[-1]
    4

    Source: Chen, Deng, Shen, NeurIPS 2018, equation 5.
    """
    features, kernel = ops.convert_to_tensor(features), ops.convert_to_tensor(kernel)
    virtual = virtual_logit(features, kernel, ops.convert_to_tensor(ids))
    return ops.concatenate([ops.matmul(features, kernel), ops.expand_dims(virtual, -1)], axis=-1)


def log_probs(logits, valid, virtual=None, target=None, ids=None, offset=None, guard=True):
    """Log-probabilities in training: the logits, shifted row by row.

        out = z - P,   P = log( sum_j exp(z'_j) + exp(v) ) + offset

    z' is z with the label's logit replaced by `target`, where one is given; the second
    exponential is there where `virtual` is given.

    The backward pass is written out, for speed and for the guard. With upstream gradients g and
    w = -sum_j g_j, the gradient is g_j + w exp(z'_j - P + offset) for a logit, and
    w exp(v - P + offset) for the virtual one. A non-zero row of g that sums to zero comes from
    a loss that normalises the row again, and would drop the virtual class or the margin without
    a word; the guard makes such a row's gradients NaN.

    Args:
        logits: Float tensor z (..., units).
        valid: Boolean tensor (...,). Where False, the row is NaN and its gradient zero.
        virtual: Float tensor v (...,), or None.
        target: Float tensor (...,), the label's logit with its margin, or None.
        ids: int32 tensor (...,), the labels; needed where `target` is given.
        offset: Float tensor (...,), or None.
        guard: Whether the guard is on.

    Returns:
        Float tensor (..., units).
    """
    named = {"logits": logits, "valid": valid, "virtual": virtual, "target": target}
    named |= {"ids": ids, "offset": offset}
    named = {name: value for name, value in named.items() if value is not None}

    @ops.custom_gradient
    def forward(*tensors):
        given = dict(zip(named, tensors))
        z, valid, v, t, ids, offset = (
            given.get(name) for name in ("logits", "valid", "virtual", "target", "ids", "offset")
        )
        mask = None if t is None else label_mask(ids, z.shape[-1])
        modified = z if t is None else ops.where(mask, ops.expand_dims(t, -1), z)
        top = ops.max(modified, axis=-1)
        if v is not None:
            top = ops.maximum(top, v)
        total = ops.sum(ops.exp(modified - ops.expand_dims(top, -1)), axis=-1)
        if v is not None:
            total = total + ops.exp(v - top)
        partition = top + ops.log(total)
        shift = partition if offset is None else partition + offset
        shift = ops.where(valid, shift, ops.full_like(shift, float("nan")))

        def backward(*args, upstream=None):
            g = _upstream(args, upstream)
            total = ops.sum(g, axis=-1)
            weight = -total
            if guard:
                largest = ops.maximum(ops.max(g, axis=-1), -ops.min(g, axis=-1))
                tripped = ops.logical_and(ops.abs(total) <= _GUARD_RATIO * largest, largest > 0)
                weight = ops.where(tripped, ops.full_like(weight, float("nan")), weight)
            weight = ops.where(valid, weight, ops.zeros_like(weight))
            keep = ops.cast(valid, g.dtype)
            p = ops.exp(z - ops.expand_dims(partition, -1))
            if mask is not None:
                p = ops.where(mask, ops.zeros_like(p), p)
            grads = {
                "logits": g * ops.expand_dims(keep, -1) + p * ops.expand_dims(weight, -1),
                "virtual": None if v is None else weight * ops.exp(v - partition),
                "target": None if t is None else weight * ops.exp(t - partition),
                "offset": weight,
            }
            return tuple(grads.get(name) for name in named)

        return z - ops.expand_dims(shift, -1), backward

    return forward(*named.values())


def _divide_or_zero(a, b):
    return ops.where(b > 0, a / ops.where(b > 0, b, ops.ones_like(b)), ops.zeros_like(a))
