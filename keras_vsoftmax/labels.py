"""What a tensor of labels means: class ids or rows of probabilities, and which of them are valid.

The heads, the loss and `Classifier` read labels through this module, so that they agree.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

# How far the sum of a row of probabilities may be from 1.
ROW_SUM_TOLERANCE = 1e-3


class Labels(NamedTuple):
    """Labels after interpretation.

    Exactly one of `ids` and `rows` is given. Where `valid` is False the id or row was bad, and
    a harmless one stands in its place, so that look-ups stay in range; so it does where the id
    is that of the ignored class, which is valid.
    """

    ids: Any  # int32, (...,), or None
    rows: Any  # float, (..., units), or None
    valid: Any  # bool, (...,)
    ignored: Any = None  # bool, (...,), or None where no class is ignored


def interpret(labels, units, leading_shape, dtype, accept_rows=True, ignore_class=None):
    """Reads class ids of shape (...,) or (..., 1), or rows of shape (..., units).

    Args:
        labels: Tensor: integers or integral floats for ids, any number type for rows.
        units: Number of classes.
        leading_shape: Static shape of the features, or of the predictions, without the last
            dimension. `None` stands for an unknown size.
        dtype: Float dtype in which rows are returned.
        accept_rows: Whether soft rows are allowed. Where not, one-hot rows are read as the ids
            they are, and other rows are not valid.
        ignore_class: Id that is allowed besides 0 to units - 1, and marked as ignored.

    Returns:
        A `Labels`.

    Raises:
        ValueError: If the shape of the labels fits neither form, or they are no numbers.
    """
    if _kind(labels) == "string":
        raise ValueError(
            "Labels must be class ids or rows of probabilities, and not names. Received: labels "
            "of dtype string (keras.layers.StringLookup makes ids of names)"
        )
    if is_rows(labels.shape, units, leading_shape):
        rows = ops.cast(labels, dtype)
        if not accept_rows:
            ids = ops.cast(ops.argmax(rows, axis=-1), "int32")
            valid = ops.all(ops.equal(rows, ops.one_hot(ids, units, dtype=dtype)), axis=-1)
            return Labels(ids, None, valid)
        off = ops.abs(ops.sum(rows, axis=-1) - 1)
        valid = ops.logical_and(ops.all(rows >= 0, axis=-1), off <= ROW_SUM_TOLERANCE)
        rows = ops.where(ops.expand_dims(valid, -1), rows, 1 / units)
        return Labels(None, rows, valid)
    if len(labels.shape) > len(leading_shape):
        labels = ops.squeeze(labels, axis=-1)
    labels = _comparable(labels)
    if "float" in _kind(labels):
        # Valid is what comes back as it was: fewer operations than to ask for one thing after the
        # other. What is no number, or beyond int32, becomes some number first.
        labels = ops.convert_to_tensor(labels)
        ids = ops.clip(ops.cast(labels, "int32"), 0, units - 1)
        valid = ops.equal(ops.cast(ids, labels.dtype), labels)
        ids = ops.where(valid, ids, 0)
    else:
        valid = ops.logical_and(labels >= 0, labels < units)
        ids = ops.cast(ops.where(valid, labels, 0), "int32")
    if ignore_class is None:
        return Labels(ids, None, valid)
    # What is unsigned still, of 32 and 64 bits, holds no negative id, and would wrap it.
    held = ignore_class >= 0 or "uint" not in _kind(labels)
    ignored = ops.equal(labels, ignore_class) if held else ops.zeros_like(valid)
    ids = ops.where(ignored, 0, ids)
    return Labels(ids, None, ops.logical_or(valid, ignored), ignored)


def _comparable(ids):
    """Ids in a dtype that holds every number they are compared with, and no wider one.

    A narrow one does not: 256 classes wrap to 0 in uint8, and 2,049 round to 2,048 in float16.
    Ids end as int32, so that integers of 8 and 16 bits cost nothing that was not needed.
    """
    kind = _kind(ids)
    if kind in ("bool", "int8", "uint8", "int16", "uint16"):
        return ops.cast(ids, "int32")
    if kind in ("float16", "bfloat16"):
        return ops.cast(ids, "float32")
    return ids


def _kind(tensor):
    return keras.backend.standardize_dtype(tensor.dtype)


def is_rows(shape, units, leading_shape):
    """Whether labels of this static shape are rows (True) or class ids (False).

    Raises:
        ValueError: If the shape fits neither form.
    """
    if getattr(shape, "rank", 0) is None:
        raise ValueError(
            "The rank of the labels must be known. TensorFlow forgets it in a data set around "
            "Python code (use `tf.ensure_shape`), and when streams with labels of two ranks "
            "come to one compiled model (call `compile()` between them). "
            f"Received: labels.shape={shape}"
        )
    shape = tuple(shape)
    leading_shape = tuple(leading_shape)
    rank = len(leading_shape)
    if _fits(shape[:rank], leading_shape):
        if len(shape) == rank or shape[rank:] == (1,):
            return False
        if shape[rank:] == (units,):
            return True
    expected = ", ".join("?" if size is None else str(size) for size in leading_shape)
    raise ValueError(
        "Labels must be class ids of shape (..., ) or (..., 1), or rows of class probabilities of "
        f"shape (..., {units}), where (...) is the shape of the features without their last "
        f"dimension, here ({expected}). Received: labels.shape={shape}"
    )


def _fits(shape, expected):
    return len(shape) == len(expected) and all(
        a is None or b is None or a == b for a, b in zip(shape, expected)
    )


def check_array(labels, units, rank=None, ignore_class=None, accept_rows=True):
    """Checks the values of labels that are all in memory, before anything is trained on them.

    Args:
        labels: Array-like: class ids or rows. The leading dimensions are free.
        units: Number of classes.
        rank: How many leading dimensions there are. Where it is not known (None), labels whose
            last dimension is `units` pass if they are good ids, or if they are good rows.
        ignore_class: Id that is allowed besides 0 to units - 1.
        accept_rows: Whether soft rows are allowed; where not, rows must be one-hot.

    Raises:
        ValueError: Naming the first label that is no class id, or no row of probabilities.
    """
    labels = _to_numpy(labels)
    if labels.dtype.name in ("float16", "bfloat16"):  # which would round the number of classes
        labels = labels.astype("float32")
    if labels.dtype.kind not in "biuf":
        raise ValueError(
            "Labels must be integers, integral floats, or rows of probabilities: "
            "keras.layers.StringLookup makes ids of names, and .astype('int64') numbers of the "
            f"objects of an array. Received: labels of dtype {labels.dtype}"
        )
    if labels.size == 0:
        return
    rows = labels.ndim > 1 and labels.shape[-1] == units and labels.ndim != rank
    if rows and rank is None:
        rows = not _good_ids(labels, units, ignore_class).all()
    if rows:
        _check_rows(labels, accept_rows)
        return
    good = _good_ids(labels, units, ignore_class)
    if not good.all():
        where = tuple(int(i) for i in np.argwhere(~good)[0])
        ignored = "" if ignore_class is None else f", or ignore_class={ignore_class}"
        raise ValueError(
            f"Labels must be whole numbers from 0 to {units - 1}{ignored}. Received: "
            f"{labels[where].item()} at index {where}, one of {int((~good).sum())} bad labels "
            f"among {good.size}. Nothing was trained."
        )


def _good_ids(ids, units, ignore_class):
    with np.errstate(invalid="ignore"):
        good = (ids >= 0) & (ids < units)
        if ids.dtype.kind == "f":
            good &= ids == np.floor(ids)
    return good if ignore_class is None else good | (ids == ignore_class)


def _check_rows(rows, accept_soft):
    rows = rows.astype("float64")
    with np.errstate(invalid="ignore"):
        good = (rows >= 0).all(-1) & (np.abs(rows.sum(-1) - 1) <= ROW_SUM_TOLERANCE)
        expected = f"probabilities: not negative, and 1 in sum within {ROW_SUM_TOLERANCE}"
        if not accept_soft:
            good &= ((rows == 0) | (rows == 1)).all(-1)
            expected = "one-hot, since this head takes class ids only (soft rows are for `softmax` "
            expected += "and `virtual`, without block_size or class_sampling)"
    if not good.all():
        where = tuple(int(i) for i in np.argwhere(~good)[0])
        raise ValueError(
            f"Rows of labels must be {expected}. Received: at index {where} a row with the "
            f"smallest entry {rows[where].min():g}, the largest {rows[where].max():g} and the sum "
            f"{rows[where].sum():g}, one of {int((~good).sum())} bad rows among {good.size}. "
            "Nothing was trained."
        )


def _to_numpy(labels):
    if ops.is_tensor(labels):
        return ops.convert_to_numpy(labels)
    return np.asarray(labels)
