"""The output of the heads that go over their classes in blocks: two columns for a row."""

import keras
from keras import ops as kops

from keras_vsoftmax import labels as label_lib
from keras_vsoftmax import numerics
from keras_vsoftmax.heads import blocked
from keras_vsoftmax.heads.checks import check_range, is_integer, no_softmax
from keras_vsoftmax.heads.terms import Batch, Terms
from keras_vsoftmax.utils.gradients import with_gradient


class BlockBatch(Batch):
    """A training batch of which no logits are held: it has what a pass over the blocks gave.

    Args:
        head: The head, for its name in errors.
        features: Float tensor x (n, d).
        labels: `keras_vsoftmax.labels.Labels` with `ids` (n,).
        sums: As from `blocked.sums`, of the plain logits.
    """

    def __init__(self, head, features, labels, sums):
        self.features = features
        self.labels = labels
        self.sums = sums
        self._head = head

    @property
    def label_logit(self):
        return self.sums["label_logit"]

    @property
    def mean_logit(self):
        units = self._head.units
        return self._sum("mean_others") + self.label_logit / units

    @property
    def classified_right(self):
        return self.label_logit >= self.sums["highest"]

    @property
    def log_others(self):
        return self.sums["log_others"]

    @property
    def label_length(self):
        return numerics.norm(self.features) * self.label_norm

    @property
    def label_norm(self):
        return self._sum("label_norm")

    @property
    def mean_norm(self):
        return self._sum("mean_norm")

    @property
    def logits(self):
        raise self._missing("logits")

    @property
    def kernel(self):
        raise self._missing("kernel")

    def at_label(self, logits):
        raise self._missing("at_label")

    def _sum(self, name):
        if name not in self.sums:
            raise self._missing(name)
        return self.sums[name]

    def _missing(self, name):
        argument, value = _given(self._head)
        # No AttributeError, which hasattr would swallow.
        return ValueError(
            f"{type(self._head).__name__} asks its batch for `{name}`, which is not held with "
            f"`{argument}`. What is there: features, labels, label_logit, log_others, "
            "classified_right; with one class vector a class label_norm and label_length; with "
            f"label smoothing mean_logit and mean_norm. Received: {argument}={value}"
        )


def read_block_size(head, block_size):
    """The argument as it is kept, checked."""
    if block_size is None:
        return None
    if not is_integer(block_size):
        raise ValueError(
            "`block_size` must be an integer, the number of classes in a block, or None. "
            f"Received: block_size={block_size!r}"
        )
    check_range("block_size", block_size, low=1)
    if not head.is_softmax:
        raise no_softmax(head, "block_size", block_size)
    return int(block_size)


def output(head, inputs, labels, training):
    """Log-probabilities of the label, and of the likeliest other class.

        out = (z_y - P, max_{j != y} z_j - P),   P = z_y + L

    where L is the head's loss in training, and the cross-entropy of the plain logits outside.

    With `class_sampling` a training step has the classes of its sample in the place of all. A row
    whose label found no place there, in a batch of unknown size, is NaN.

    The second column is for metrics, and no gradient flows through it. A loss that sends one
    there, as every loss does that normalises the row again, gets NaN gradients.

    Args:
        head: A head with `block_size` or `class_sampling`.
        inputs: Features (..., d).
        labels: `keras_vsoftmax.labels.Labels` with `ids` (...,).
        training: Boolean.

    Returns:
        Float tensor (..., 2), in the head's output dtype.
    """
    leading = kops.shape(inputs)[:-1]
    features = kops.reshape(head.rounded(inputs), (-1, inputs.shape[-1]))
    ids, valid = (kops.reshape(each, (-1,)) for each in (labels.ids, labels.valid))
    kernel, values = _held(head)
    shifts = None
    if training and head.sampler is not None:
        kernel, ids, found, shifts = head.sampler.sample(kernel, ids)
        valid = kops.logical_and(valid, found)
    smoothing = head.label_smoothing if training else 0.0
    means, norms = bool(smoothing), bool(training) and head.class_vectors == 1
    plan = blocked.Plan(head, _block_size(head, kernel), means=means, norms=norms)
    plain = blocked.sums(plan, features, kernel, ids, values, shifts)
    sums, terms = plain, Terms()
    if training:
        batch = BlockBatch(head, features, label_lib.Labels(ids, None, valid), plain)
        terms = head.training_terms(batch)
        if terms.loss is not None:
            raise no_softmax(head, *_given(head))
        if terms.others is not None:
            plan = plan._replace(norms=False, others=terms.others)
            sums = blocked.sums(plan, features, kernel, ids, values, shifts)
    loss = _loss(terms, plain["label_logit"], sums, head.units, smoothing)
    columns = _columns(loss, plain["highest"] - kops.stop_gradient(plain["label_logit"]), valid)
    return kops.reshape(columns, (*leading, 2))


def _given(head):
    """The argument that makes the head give two columns, and its value."""
    argument = "class_sampling" if head.block_size is None else "block_size"
    return argument, getattr(head, argument)


def classes(head, inputs):
    """The ids of the largest logits (...,), the first ones among equals, int32."""
    features = kops.reshape(head.rounded(inputs), (-1, inputs.shape[-1]))
    plan = blocked.Plan(head, min(head.block_size, head.units))
    ids = blocked.classes(plan, features, *_held(head))
    return kops.reshape(ids, kops.shape(inputs)[:-1])


def targets(head, labels, output, ignore_class):
    """The labels of the two columns: 0, but where the id is that of the ignored class."""
    read = label_lib.interpret(
        labels,
        head.units,
        tuple(output.shape)[:-1],
        output.dtype,
        accept_rows=False,
        ignore_class=ignore_class,
    )
    column = kops.zeros_like(read.ids)
    return column if read.ignored is None else kops.where(read.ignored, ignore_class, column)


def check_compile(loss, metrics):
    """Raises a ValueError for a loss or metrics that two columns cannot serve."""
    if getattr(loss, "ignore_class", None) == 0:
        raise ValueError(
            "With a head that has block_size or class_sampling, loss and metrics get the label 0 "
            "in the place of every id, so that the ignored id must be another one, such as -1. "
            "Received: ignore_class=0"
        )
    for metric in keras.tree.flatten(metrics):
        if not _is_served(metric):
            raise ValueError(
                "A head with block_size or class_sampling gives the log-probability of the label "
                "and the highest among the other classes, which is enough for accuracy, and of "
                "Keras's metrics for no other. "
                f"Received: {metric!r} among the metrics"
            )


def _is_served(metric):
    """Whether two columns are enough: for accuracy, and for what a user wrote for them."""
    if metric is None or metric in ("accuracy", "acc"):
        return True
    if metric in ("crossentropy", "ce"):  # names that Keras reads by the shape of the output
        return False
    known = keras.metrics.get(metric)
    if type(known) in (keras.metrics.SparseCategoricalAccuracy, keras.metrics.MeanMetricWrapper):
        return True
    if known is keras.metrics.sparse_categorical_accuracy:
        return True
    return not getattr(known, "__module__", "").startswith("keras.")


def _block_size(head, kernel):
    """The number of classes in a block: without `block_size` all of them."""
    classes = kernel.shape[1] // head.class_vectors
    return classes if head.block_size is None else min(head.block_size, classes)


def _held(head):
    """The kernel, and the values of the other variables as they are before the head moves them."""
    # A tensor and not the variable, which TensorFlow does not let a custom gradient read.
    # A reshape shares the buffer, where a copy would take another kernel's memory.
    kernel = kops.convert_to_tensor(head.kernel)
    values = [kops.convert_to_tensor(each) * 1 for each in blocked.variables(head)]
    return kops.reshape(kernel, kernel.shape), values


def _loss(terms, label_logit, sums, units, smoothing):
    """L (n,), as `Terms` defines it."""
    target = label_logit
    if terms.target is not None:
        target = terms.target
    elif terms.others is not None:
        target = terms.others(kops.expand_dims(label_logit, -1))[..., 0]
    relative = [sums["log_others"] - target]
    relative += [] if terms.virtual is None else [terms.virtual - target]
    top = kops.zeros_like(target)
    for each in relative:
        top = kops.where(each > top, each, top)
    top = kops.stop_gradient(top)
    total = kops.exp(-top)
    for each in relative:
        total = total + kops.exp(each - top)
    loss = top + kops.log(total)
    if smoothing:
        loss = loss + smoothing * (target - (sums["mean_others"] + target / units))
    return loss if terms.extra is None else loss + terms.extra


def _columns(loss, ahead, valid):
    """(-loss, ahead - loss) (n, 2), with the guard against a gradient in the second column."""

    def forward(loss, ahead, valid):
        loss = kops.where(valid, loss, float("nan"))
        own, other = -loss, ahead - loss
        # Of equal columns argmax takes the first, and features that are all zero would be right.
        above = own + 1e-6 * (1 + kops.abs(own))
        other = kops.where(kops.logical_and(ahead >= 0, other < above), above, other)
        return kops.stack([own, other], axis=-1), None

    def backward(tensors, _, g):
        weight = kops.where(kops.equal(g[:, 1], 0), -g[:, 0], float("nan"))
        return kops.where(tensors[2], weight, 0.0), None, None

    return with_gradient(forward, backward)(loss, ahead, valid)
