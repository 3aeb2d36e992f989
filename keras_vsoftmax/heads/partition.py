"""From a head's terms to its output: the logits of all classes, shifted row by row."""

from keras import ops as kops

from keras_vsoftmax import numerics


def shifted(batch, terms, label_smoothing, guard):
    """z - P, with P = sum_c q_c z_c + L.

    Args:
        batch: A `Batch` with all logits.
        terms: What the head makes of it, as `Terms`.
        label_smoothing: Float e in [0, 1).
        guard: Whether gradients of a loss that normalises the row again become NaN.

    Returns:
        Float tensor (..., units).
    """
    valid = batch.labels.valid
    if terms.loss is not None:
        partition = batch.label_logit + terms.loss
        return numerics.shift(batch.logits, partition, valid, guard=guard)
    modified = None if terms.others is None else terms.others(batch.logits)
    return numerics.log_probs(
        batch.logits,
        valid,
        virtual=terms.virtual,
        target=terms.target,
        ids=None if terms.target is None else batch.labels.ids,
        modified=modified,
        offset=_offset(batch, terms, modified, label_smoothing),
        guard=guard,
    )


def _offset(batch, terms, modified, label_smoothing):
    """sum_c q_c z_c - sum_c q'_c z'_c + extra, or None for zero.

    With q the label's row, q' = (1 - e) q + e / units, and z' the logits of the loss.
    """
    offset, label_logit = None, None
    if terms.target is not None:
        label_logit = terms.target
    elif modified is not None:
        label_logit = batch.at_label(modified)
    if label_logit is not None:
        offset = batch.label_logit - label_logit
    if label_smoothing:
        total = kops.sum(batch.logits if modified is None else modified, axis=-1)
        if terms.target is not None:
            total = total - (
                offset if modified is None else batch.at_label(modified) - terms.target
            )
        if label_logit is None:
            label_logit = batch.label_logit
        smoothing = label_smoothing * (label_logit - total / batch.logits.shape[-1])
        offset = smoothing if offset is None else offset + smoothing
    if terms.extra is not None:
        offset = terms.extra if offset is None else offset + terms.extra
    return offset
