"""What a tensor of labels means: class ids or rows of probabilities, and which of them are valid.

The heads, the loss and `Classifier` read labels through this module, so that they agree.
"""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

# How far the sum of a row of probabilities may be from 1.
ROW_SUM_TOLERANCE = 1e-3


class Labels(NamedTuple):
    """Labels after interpretation.

    Exactly one of `ids` and `rows` is given. Where `valid` is False the id or row was bad, and
    a harmless one stands in its place, so that look-ups stay in range.
    """

    ids: Any  # int32, (...,), or None
    rows: Any  # float, (..., units), or None
    valid: Any  # bool, (...,)


def interpret(labels, units, leading_shape, dtype, accept_rows=True):
    """Reads class ids of shape (...,) or (..., 1), or rows of shape (..., units).

    Args:
        labels: Tensor: integers or integral floats for ids, any number type for rows.
        units: Number of classes.
        leading_shape: Static shape of the features, or of the predictions, without the last
            dimension. `None` stands for an unknown size.
        dtype: Float dtype in which rows are returned.
        accept_rows: Whether rows are allowed.

    Returns:
        A `Labels`.

    Raises:
        ValueError: If the shape of the labels fits neither form, or they are rows where rows
            are not allowed.
    """
    if is_rows(labels.shape, units, leading_shape, accept_rows):
        rows = ops.cast(labels, dtype)
        off = ops.abs(ops.sum(rows, axis=-1) - 1)
        valid = ops.logical_and(ops.all(rows >= 0, axis=-1), off <= ROW_SUM_TOLERANCE)
        rows = ops.where(ops.expand_dims(valid, -1), rows, 1 / units)
        return Labels(None, rows, valid)
    if len(labels.shape) > len(leading_shape):
        labels = ops.squeeze(labels, axis=-1)
    kind = labels.dtype if isinstance(labels.dtype, str) else str(labels.dtype)
    if "bool" in kind:
        labels = ops.cast(labels, "int32")
    valid = ops.logical_and(labels >= 0, labels < units)
    if "float" in kind:
        valid = ops.logical_and(valid, ops.equal(labels, ops.floor(labels)))
    ids = ops.cast(ops.where(valid, labels, 0), "int32")
    return Labels(ids, None, valid)


def is_rows(shape, units, leading_shape, accept_rows=True):
    """Whether labels of this static shape are rows (True) or class ids (False).

    Raises:
        ValueError: If the shape fits neither form, or rows are not allowed.
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
            if not accept_rows:
                _refuse_rows(shape)
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
        accept_rows: Whether rows are allowed.

    Raises:
        ValueError: Naming the first label that is no class id, or no row of probabilities.
    """
    labels = _to_numpy(labels)
    if labels.dtype.kind not in "biuf":
        raise ValueError(
            "Labels must be integers, integral floats, or rows of probabilities. "
            f"Received: labels of dtype {labels.dtype}"
        )
    if labels.size == 0:
        return
    rows = labels.ndim > 1 and labels.shape[-1] == units and labels.ndim != rank
    if rows and rank is None:
        rows = not _good_ids(labels, units, ignore_class).all()
    if rows:
        if not accept_rows:
            _refuse_rows(labels.shape)
        _check_rows(labels)
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


def _refuse_rows(shape):
    raise ValueError(
        "This head takes class ids only. Rows of probabilities are for `softmax` and `virtual`, "
        f"without block_size. Received: labels.shape={tuple(shape)}"
    )


def _check_rows(rows):
    rows = rows.astype("float64")
    with np.errstate(invalid="ignore"):
        good = (rows >= 0).all(-1) & (np.abs(rows.sum(-1) - 1) <= ROW_SUM_TOLERANCE)
    if not good.all():
        where = tuple(int(i) for i in np.argwhere(~good)[0])
        raise ValueError(
            "Rows of labels must be probabilities: not negative, and 1 in sum within "
            f"{ROW_SUM_TOLERANCE}. Received: at index {where} a row with the smallest entry "
            f"{rows[where].min():g} and the sum {rows[where].sum():g}, one of "
            f"{int((~good).sum())} bad rows among {good.size}. Nothing was trained."
        )


def _to_numpy(labels):
    if ops.is_tensor(labels):
        return ops.convert_to_numpy(labels)
    return np.asarray(labels)
