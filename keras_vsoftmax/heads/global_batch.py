"""Statistics over the valid rows of the global batch, the same on every replica.

No gradient flows through them. Where a replica has no rows it takes part all the same.
"""

from keras import ops as kops

from keras_vsoftmax.distributed import replica


def mean(values, valid):
    """The mean over the valid rows of all replicas.

    Args:
        values: Float tensor.
        valid: Boolean tensor of the same shape.

    Returns:
        `(mean, count)`, scalar tensors of the dtype of the values. The mean of no rows is 0.
    """
    values = kops.stop_gradient(values)
    weights = kops.cast(valid, values.dtype)
    total = _total(kops.sum(kops.where(valid, values, 0.0)))
    count = _total(kops.sum(weights))
    return total / kops.where(count > 0, count, 1.0), count


def mean_and_deviation(values, valid):
    """The mean, and the standard deviation with n - 1 in the denominator, as `mean`.

    Returns:
        `(mean, deviation, count)`; the deviation of fewer than two rows is 0.
    """
    centre, count = mean(values, valid)
    spread, _ = mean(kops.square(values - centre), valid)
    variance = spread * count / kops.where(count > 1, count - 1, 1.0)
    return centre, kops.sqrt(variance), count


def lower_median(values, valid):
    """The median over the valid rows of all replicas, the lower of the two middle values.

    Returns:
        `(median, count)`; the median of no rows is not finite.
    """
    values = kops.reshape(kops.where(valid, kops.stop_gradient(values), float("inf")), (-1,))
    if replica.count() > 1:
        values = replica.gathered(values)
    # One more, for a batch without rows.
    values = kops.concatenate([values, kops.full((1,), float("inf"), dtype=values.dtype)])
    count = kops.sum(kops.cast(values < float("inf"), values.dtype))
    middle = kops.cast(kops.where(count > 0, kops.floor((count - 1) / 2), 0.0), "int32")
    return kops.take(kops.sort(values), middle), count


def moving(weight, new, share, count):
    """Move a weight towards a new value, and return what it is then.

    It stays where it was for a batch without rows, and where the new value is not finite: features
    that overflow in half precision are skipped by loss scaling, and must leave nothing behind.

    Args:
        weight: A variable, of `Head.add_number`.
        new: Scalar tensor.
        share: Float, the share of the new value.
        count: Scalar tensor, the number of rows behind it.

    Returns:
        Scalar tensor.
    """
    old = kops.convert_to_tensor(weight)
    kept = kops.logical_and(count > 0, kops.isfinite(new))
    value = kops.where(kept, (1 - share) * old + share * new, old)
    weight.assign(value)
    return value


def _total(value):
    return replica.total(value) if replica.count() > 1 else value
