"""The heads' arithmetic over blocks of classes, which never holds the (batch, units) logits.

The forward pass keeps a running log-sum over the blocks. The backward pass computes the logits
of a block again, and writes that block of the kernel's gradient. So four matrix products take
the place of three, and the memory beside the kernel and its gradient is that of a few blocks.

The notation is that of `numerics`. With smoothing e, q is the row (1 - e) onehot(y) + e / units.
"""

from typing import NamedTuple

from keras import ops as kops

from keras_vsoftmax import numerics
from keras_vsoftmax.heads.column_blocks import compiled, over_columns, write_columns
from keras_vsoftmax.utils.gradients import differentiable_once, with_gradient

_ONCE = (
    "A head with block_size has no second derivatives: gradient penalties, and what else "
    "differentiates its gradients again, need a head without blocks. "
    "Received: a second derivative with block_size"
)


class _Knobs(NamedTuple):
    block_size: int
    compute_dtype: str
    virtual: bool = False
    label_smoothing: float = 0.0


def log_probs(
    features, kernel, ids, valid, *, block_size, compute_dtype, virtual=False, label_smoothing=0.0
):
    """Log-probabilities of the label, and of the likeliest other class.

        out = (z_y - P, max_{j != y} z_j - P),   P = z_y + L
        L = log( sum_j exp(z_j) + exp(v) ) - sum_c q_c z_c,   v = ||x|| sum_c q_c ||W_c||

    The second exponential is there where `virtual` is True. The kernel is rounded to the
    compute dtype block by block; its gradient is not rounded.

    The second column is for metrics, and no gradient flows through it. A loss that sends one
    there, as every loss does that normalises the row again, gets NaN gradients.

    Args:
        features: Float tensor (..., d), already rounded to the compute dtype.
        kernel: Float tensor (d, units).
        ids: int32 tensor (...,) with values in [0, units).
        valid: Boolean tensor (...,). Where False, the row is NaN and its gradient zero.
        block_size: Integer. Number of classes in a block.
        compute_dtype: Dtype to which the kernel is rounded.
        virtual: Whether there is a virtual class.
        label_smoothing: Float e in [0, 1).

    Returns:
        Float tensor (..., 2), of the dtype of the features.
    """
    knobs = _Knobs(block_size, compute_dtype, virtual, label_smoothing)

    def forward(x, kernel, ids, valid):
        # An eager TensorFlow tape records what happens in here, and cannot record the loop.
        output, *sums = _forward(
            kops.stop_gradient(x), kops.stop_gradient(kernel), ids, valid, knobs
        )
        return differentiable_once(output, (x, kernel), _ONCE), sums

    def backward(tensors, sums, g):
        x, kernel, ids, valid = tensors
        stopped = [kops.stop_gradient(tensor) for tensor in (x, kernel, ids, valid, *sums, g)]
        gradients = _backward(*stopped, knobs)
        once = (differentiable_once(each, (x, kernel, g), _ONCE) for each in gradients)
        return *once, None, None

    leading = kops.shape(features)[:-1]
    x = kops.reshape(features, (-1, features.shape[-1]))
    output = with_gradient(forward, backward)(
        x, kernel, kops.reshape(ids, (-1,)), kops.reshape(valid, (-1,))
    )
    return kops.reshape(output, (*leading, 2))


def classes(features, kernel, *, block_size, compute_dtype):
    """The id of the largest logit, the first one among equals.

    Args:
        features, kernel, block_size, compute_dtype: As for `log_probs`.

    Returns:
        int32 tensor (...,).
    """
    leading = kops.shape(features)[:-1]
    x = kops.reshape(features, (-1, features.shape[-1]))

    def step(start, width, carry):
        highest, ids = carry
        z = x @ _columns(kernel, start, width, compute_dtype, x.dtype)
        top = kops.max(z, axis=-1)
        block_ids = start + kops.cast(kops.argmax(z, axis=-1), "int32")
        return _larger(top, highest), kops.where(top > highest, block_ids, ids)

    highest = kops.full_like(x[:, 0], -float("inf"))
    carry = highest, kops.zeros_like(highest, dtype="int32")
    _, ids = over_columns(kernel.shape[1], block_size, step, carry)
    return kops.reshape(ids, leading)


@compiled
def _forward(x, kernel, ids, valid, knobs):
    """Returns the output (n, 2), and what the backward pass needs: the partition (n,), and the
    means over all classes of W_c (d,) and ||W_c|| (), which are 0 without smoothing."""
    units, e = kernel.shape[1], knobs.label_smoothing
    label_kernel = _label_columns(x, kernel, ids, knobs)
    label_logit = kops.sum(x * label_kernel, axis=-1)

    def step(start, width, carry):
        top, total, highest, column_sum, norm_sum = carry
        block = _columns(kernel, start, width, knobs.compute_dtype, x.dtype)
        z = kops.where(_label_mask(ids, start, width), -float("inf"), x @ block)
        block_top = kops.max(z, axis=-1)
        new_top = _larger(block_top, top)
        block_total = kops.sum(kops.exp(z - kops.expand_dims(new_top, -1)), axis=-1)
        total = total * kops.exp(top - new_top) + block_total
        if e:
            column_sum = column_sum + kops.sum(block, axis=-1)
            norm_sum = norm_sum + kops.sum(numerics.norm(block, axis=0))
        return new_top, total, _larger(block_top, highest), column_sum, norm_sum

    carry = (
        label_logit,  # the label's own term starts the sum
        kops.ones_like(label_logit),
        kops.full_like(label_logit, -float("inf")),
        kops.zeros_like(kernel[:, 0], dtype=x.dtype),
        kops.zeros((), dtype=x.dtype),
    )
    top, total, highest, column_sum, norm_sum = over_columns(units, knobs.block_size, step, carry)
    mean_column, mean_norm = column_sum / units, norm_sum / units
    if knobs.virtual:
        v = numerics.norm(x) * ((1 - e) * numerics.norm(label_kernel) + e * mean_norm)
        new_top = _larger(v, top)
        top, total = new_top, total * kops.exp(top - new_top) + kops.exp(v - new_top)
    partition = top + kops.log(total)
    target = (1 - e) * label_logit + e * kops.sum(x * mean_column, axis=-1)
    loss = kops.where(valid, partition - target, float("nan"))
    output = kops.stack([-loss, highest - label_logit - loss], axis=-1)
    return output, partition, mean_column, mean_norm


@compiled
def _backward(x, kernel, ids, valid, partition, mean_column, mean_norm, g, knobs):
    """Gradients of the sum of g_i out_i to x and to the kernel.

    With w = -g: dL/dz_j = p_j - q_j and dL/dv = p_v, times w.
    """
    units, e = kernel.shape[1], knobs.label_smoothing
    weight = kops.where(kops.equal(g[:, 1], 0), -g[:, 0], float("nan"))
    weight = kops.where(valid, weight, 0.0)
    # Transposed out here: inside the loop XLA would fold it into a slower product.
    weighted = kops.transpose(x * kops.expand_dims(weight, -1))
    shift = kops.expand_dims(partition, -1)
    if knobs.virtual:
        x_norm, label_norm = numerics.norm(x), numerics.norm(_label_columns(x, kernel, ids, knobs))
        length = (1 - e) * label_norm + e * mean_norm
        by_virtual = weight * kops.exp(x_norm * length - partition)
        by_length = by_virtual * x_norm
        # The gradient to W_c is W_c times these, and divided by ||W_c||.
        label_factor = numerics.segment_sum(
            numerics.divide_or_zero((1 - e) * by_length, label_norm), ids, units
        )
        every_factor = e / units * kops.sum(by_length)

    def step(start, width, carry):
        by_x, by_kernel = carry
        block = _columns(kernel, start, width, knobs.compute_dtype, x.dtype)
        p = kops.exp(x @ block - shift)
        by_z = kops.where(_label_mask(ids, start, width), p - (1 - e), p)
        if e:
            by_z = by_z - e / units
        by_block = weighted @ by_z
        if knobs.virtual:
            factor = kops.slice(label_factor, (start,), (width,))
            if e:
                factor = factor + numerics.divide_or_zero(
                    every_factor, numerics.norm(block, axis=0)
                )
            by_block = by_block + block * factor
        by_block = kops.cast(by_block, kernel.dtype)
        return by_x + by_z @ kops.transpose(block), write_columns(by_kernel, start, by_block)

    carry = kops.zeros_like(x), kops.zeros_like(kernel)
    by_x, by_kernel = over_columns(units, knobs.block_size, step, carry)
    by_x = by_x * kops.expand_dims(weight, -1)
    if knobs.virtual:
        by_x = by_x + x * kops.expand_dims(numerics.divide_or_zero(by_virtual * length, x_norm), -1)
    return by_x, by_kernel


def _columns(kernel, start, width, compute_dtype, dtype):
    """Columns of the kernel from `start` on, rounded to the compute dtype and held in `dtype`."""
    block = kops.slice(kernel, (0, start), (kernel.shape[0], width))
    return kops.cast(kops.cast(block, compute_dtype), dtype)


def _label_columns(x, kernel, ids, knobs):
    """W_y of each row (n, d), rounded like the blocks."""
    columns = kops.transpose(kops.take(kernel, ids, axis=1))
    return kops.cast(kops.cast(columns, knobs.compute_dtype), x.dtype)


def _label_mask(ids, start, width):
    """Boolean (n, width): True in the label's column of this block."""
    return numerics.label_mask(ids - start, width)


def _larger(a, b):
    # `keras.ops.maximum` computes in float32 under float64 on torch.
    return kops.where(a > b, a, b)
