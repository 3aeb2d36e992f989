"""One entry of each row by its id, and the way back."""

import keras
from keras import ops

from keras_vsoftmax.utils.gradients import after, with_gradient


def pick(x, ids):
    """x[..., ids]: one entry of each row.

    The gradient is written entry by entry, instead of the scatter that a gather would give.

    Args:
        x: Float tensor (..., units).
        ids: int32 tensor (...,) with values in [0, units).

    Returns:
        Float tensor (...,).
    """

    def forward(x, ids):
        entries = picked(x, ids)
        return entries, entries

    def backward(tensors, entries, g):
        x, ids = tensors
        return _at_label(after(ids, entries, g), g, x.shape[-1]), None

    return with_gradient(forward, backward)(x, ids)


def picked(x, ids):
    """As `pick`, without a gradient of its own.

    Args:
        x: Float tensor (..., units).
        ids: int32 tensor (...,) with values in [0, units).

    Returns:
        Float tensor (...,).
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(x, ids, batch_dims=len(ids.shape))
    return ops.squeeze(ops.take_along_axis(x, ops.expand_dims(ids, -1), axis=-1), -1)


def take(x, ids):
    """x[ids] for ids that are not negative.

    Args:
        x: Tensor (units,).
        ids: int32 tensor (...,) with values in [0, units).

    Returns:
        Tensor (...,) of the dtype of x.
    """
    if keras.backend.backend() == "tensorflow":
        # Keras makes three operations more, for negative ids.
        import tensorflow as tf

        return tf.gather(x, ids)
    return ops.take(x, ids)


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


def _at_label(ids, values, units):
    """(..., units): a value for each row in the column of its label, and 0 elsewhere."""
    values = ops.expand_dims(values, -1)
    if keras.backend.backend() == "torch":  # whose one_hot are integers of 64 bits
        return ops.where(label_mask(ids, units), values, 0.0)
    return ops.one_hot(ids, units, dtype=values.dtype) * values
