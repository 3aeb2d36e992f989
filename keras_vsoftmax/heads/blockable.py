"""What the softmax and the virtual head share: both can go over their classes in blocks."""

import keras
from keras import ops as kops

from keras_vsoftmax import labels as label_lib
from keras_vsoftmax.heads import blocked
from keras_vsoftmax.heads.base import Head
from keras_vsoftmax.heads.checks import check_range, is_integer

_TOP_K = (keras.metrics.TopKCategoricalAccuracy, keras.metrics.SparseTopKCategoricalAccuracy)


class BlockableHead(Head):
    """Base of the heads that take `block_size`, for very many classes.

    With it, and labels given, the output is (..., 2) instead of (..., units): the
    log-probability of the label, and the highest among the other classes. So -output[..., 0] is
    the loss, in training and outside, and with the label 0 in the place of every id stock
    accuracy is right, ties counting as hits; `targets` makes it, for `Classifier`. No more
    than a few blocks of logits are ever held, forward or backward. Without labels the output is
    the usual one, and `predict_classes` the way to class ids that stays in blocks.
    """

    has_virtual_class = False

    def __init__(self, units, *, block_size=None, **kwargs):
        super().__init__(units, **kwargs)
        if block_size is not None:
            if not is_integer(block_size):
                raise ValueError(
                    "`block_size` must be an integer, the number of classes in a block, or None. "
                    f"Received: block_size={block_size!r}"
                )
            check_range("block_size", block_size, low=1)
            block_size = int(block_size)
            self.accepts_rows = False
        self.block_size = block_size

    def call(self, inputs, labels=None, training=None):
        if self.block_size is None or (labels is None and not training):
            return super().call(inputs, labels, training)
        features = self._round(inputs)
        labels = self._read_labels(labels, features)
        return blocked.log_probs(
            features,
            self._kernel_tensor(),
            labels.ids,
            labels.valid,
            virtual=self.has_virtual_class and bool(training),
            label_smoothing=self.label_smoothing if training else 0.0,
            **self._blocking(),
        )

    def predict_classes(self, inputs):
        if self.block_size is None:
            return super().predict_classes(inputs)
        self._ensure_built(inputs)
        return blocked.classes(self._round(inputs), self._kernel_tensor(), **self._blocking())

    def compute_output_shape(self, inputs_shape, labels_shape=None):
        shape = super().compute_output_shape(inputs_shape, labels_shape)
        if self.block_size is None or labels_shape is None:
            return shape
        return (*shape[:-1], 2)

    def targets(self, labels, output, ignore_class=None):
        if self.block_size is None:
            return labels
        read = label_lib.interpret(
            labels,
            self.units,
            tuple(output.shape)[:-1],
            output.dtype,
            accept_rows=False,
            ignore_class=ignore_class,
        )
        column = kops.zeros_like(read.ids)
        return column if read.ignored is None else kops.where(read.ignored, ignore_class, column)

    def check_compile(self, loss, metrics):
        if self.block_size is None:
            return
        if getattr(loss, "ignore_class", None) == 0:
            raise ValueError(
                "With a head that has block_size, loss and metrics get the label 0 in the place of "
                "every id, so that the ignored id must be another one, such as -1. "
                "Received: ignore_class=0"
            )
        for metric in keras.tree.flatten(metrics):
            known = keras.metrics.get(metric) if isinstance(metric, str) else metric
            if isinstance(known, _TOP_K) or "top_k" in getattr(known, "__name__", ""):
                raise ValueError(
                    "A head with block_size gives the log-probability of the label and the highest "
                    "among the other classes, which is enough for accuracy but not for top-k. "
                    f"Received: {metric!r} among the metrics"
                )

    def get_config(self):
        return {**super().get_config(), "block_size": self.block_size}

    def _kernel_tensor(self):
        # A tensor and not the variable, which TensorFlow does not let a custom gradient read.
        # A reshape shares the buffer, where a copy would take another kernel's memory.
        kernel = kops.convert_to_tensor(self.kernel)
        return kops.reshape(kernel, kernel.shape)

    def _blocking(self):
        return {
            "block_size": min(self.block_size, self.units),
            "compute_dtype": self.compute_dtype,
        }
