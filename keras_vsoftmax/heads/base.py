"""What all heads share: the kernel, the reading of labels, and the contract of the output."""

import contextlib
import numbers

import keras
from keras import ops as kops

from keras_vsoftmax import labels as label_lib
from keras_vsoftmax import numerics


class Head(keras.layers.Layer):
    """Base class of the heads: a layer in the place of `Dense(units)` that knows the label.

    `head(inputs, labels)` returns log-probabilities, a shift of the plain logits row by row:

        output = z - P

    where P is logsumexp(z) outside training and z_label + L in training, with L the head's loss
    of that row. So `-output[label]` is the loss, while argmax and top-k of the output are those
    of the plain logits, in training as well. For rows of probabilities q, P is
    sum_c q_c z_c + L.

    A head differs from another in its plain logits (`_plain_logits`) and in what it adds to, or
    changes in, the partition (`_training_terms`), and in nothing else.

    Args:
        units: Integer, at least 2. Number of classes.
        kernel_initializer: Initializer of the kernel (d, units).
        kernel_regularizer: Regularizer of the kernel.
        kernel_constraint: Constraint of the kernel.
        label_smoothing: Float in [0, 1). With e > 0, L is taken over the row
            (1 - e) onehot(label) + e / units. It is an argument of the head and not of the
            loss, because a margin or a virtual class must see it.
        **kwargs: `name`, `dtype` and the other arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Features (..., d).
        labels: Class ids, integers or integral floats, of shape (...,) or (..., 1), or one-hot
            rows (..., units); soft rows of probabilities for `softmax` and `virtual` only.
            Needed in training.
        training: Boolean.

    Output shape: (..., units), float32, or float64 under a float64 policy, whatever the compute
    dtype.
    """

    # Whether labels may be soft rows. A margin has no meaning for them: it takes one-hot rows as
    # the ids they are.
    accepts_rows = False

    def __init__(
        self,
        units,
        *,
        kernel_initializer="glorot_uniform",
        kernel_regularizer=None,
        kernel_constraint=None,
        label_smoothing=0.0,
        activity_regularizer=None,
        **kwargs,
    ):
        # The layer casts by itself, so that ids and rows never become half precision.
        kwargs["autocast"] = False
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        if not is_integer(units) or units < 2:
            raise ValueError(
                f"`units` must be an integer of at least 2, the number of classes. "
                f"Received: units={units!r}"
            )
        check_range("label_smoothing", label_smoothing, low=0, below=1)
        self.units = int(units)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.label_smoothing = float(label_smoothing)
        self.supports_masking = True
        self._refused_shape = None

    @property
    def is_plain_softmax(self):
        """Whether a stock cross-entropy on the output would be the head's own loss."""
        return False

    @property
    def output_dtype(self):
        """Dtype of the logits and of the output: float32, or float64 under float64."""
        return "float64" if self.compute_dtype == "float64" else "float32"

    def build(self, inputs_shape, labels_shape=None):
        dim = self._feature_dim(inputs_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(dim, self.units),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            autocast=False,
        )
        self.input_spec = [keras.layers.InputSpec(min_ndim=2, axes={-1: dim})]
        self._add_state()

    def logits(self, inputs):
        """Plain logits z of the head, (..., units), float32 or float64; their softmax predicts."""
        self._ensure_built(inputs)
        return self._plain_logits(*self._rounded(inputs))

    def predict_classes(self, inputs):
        """Class ids (...,), int32, those of the largest logits."""
        return kops.cast(kops.argmax(self.logits(inputs), axis=-1), "int32")

    def call(self, inputs, labels=None, training=None):
        features, kernel = self._rounded(inputs)
        logits = self._plain_logits(features, kernel)
        if not training:
            return kops.log_softmax(logits, axis=-1)
        labels = self._read_labels(labels, features)
        terms = self._training_terms(logits, features, kernel, labels)
        guard = not self.is_plain_softmax
        output = numerics.log_probs(logits, labels.valid, guard=guard, **terms)
        if guard:
            _mark_as_logits(output)
        return output

    def compute_output_shape(self, inputs_shape, labels_shape=None):
        self._feature_dim(inputs_shape)
        return (*inputs_shape[:-1], self.units)

    def compute_output_spec(self, inputs, labels=None, training=None):
        if labels is not None:
            label_lib.is_rows(labels.shape, self.units, inputs.shape[:-1])
        labels_shape = None if labels is None else labels.shape
        return keras.KerasTensor(
            self.compute_output_shape(inputs.shape, labels_shape), self.output_dtype
        )

    def load_own_variables(self, store):
        if "0" in store:
            shape = tuple(store["0"].shape)
            self._refused_shape = shape if shape != tuple(self.kernel.shape) else None
        if self._refused_shape is not None:
            # Keras asks again after an error, with an empty store, and reports the last error.
            raise ValueError(
                f"The weights are those of another head: the kernel (d, units) of '{self.name}' "
                f"has the shape {tuple(self.kernel.shape)}. Received: a kernel of shape "
                f"{self._refused_shape}"
            )
        super().load_own_variables(store)

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "kernel_constraint": keras.constraints.serialize(self.kernel_constraint),
            "label_smoothing": self.label_smoothing,
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
        }

    def _add_state(self):
        """Adds what a head keeps besides its kernel, such as the step of a schedule."""

    def _plain_logits(self, features, kernel):
        """z (..., units) from features (..., d) and kernel (d, units), both in `output_dtype`."""
        return numerics.product(features, kernel)

    def _training_terms(self, logits, features, kernel, labels):
        """The arguments of `numerics.log_probs` that make L: virtual, target, ids, offset."""
        return self._smoothing_terms(logits, labels)

    def _smoothing_terms(self, logits, labels):
        """The offset that turns the loss of the label's row into that of the smoothed row.

        With q the label's row and q' = (1 - e) q + e / units, it is sum_c (q_c - q'_c) z_c.
        """
        if not self.label_smoothing:
            return {}
        mean = kops.sum(logits, axis=-1) / self.units
        return {"offset": self.label_smoothing * (self._label_logit(logits, labels) - mean)}

    def _label_logit(self, logits, labels):
        """sum_c q_c z_c (...,) of the label's row q, without smoothing."""
        if labels.rows is None:
            return numerics.pick(logits, labels.ids)
        return kops.sum(labels.rows * logits, axis=-1)

    def _rounded(self, inputs):
        """Features and kernel, rounded to the compute dtype, held in the output dtype.

        The product of half-precision numbers is exact in float32, so that this is a product in
        half precision that is accumulated and kept in float32.
        """
        return self._round(inputs), self._round(kops.convert_to_tensor(self.kernel))

    def _round(self, tensor):
        return kops.cast(kops.cast(tensor, self.compute_dtype), self.output_dtype)

    def _ensure_built(self, inputs):
        if not self.built:
            self.build(inputs.shape)

    def _read_labels(self, labels, features):
        if labels is None:
            raise ValueError(
                f"{type(self).__name__} needs labels in training: without them it would train a "
                "plain softmax. Call head(features, labels), wrap backbone and head in "
                "keras_vsoftmax.Classifier, or give the functional model a label input. "
                "Received: labels=None with training=True"
            )
        leading_shape = tuple(features.shape)[:-1]
        return label_lib.interpret(
            labels, self.units, leading_shape, features.dtype, self.accepts_rows
        )

    def _feature_dim(self, inputs_shape):
        if len(inputs_shape) < 2 or inputs_shape[-1] is None:
            raise ValueError(
                f"{type(self).__name__} needs features of shape (..., d) with a known last "
                f"dimension. Received: inputs.shape={tuple(inputs_shape)}"
            )
        return inputs_shape[-1]


def check_range(name, value, low=None, high=None, above=None, below=None):
    """Raises a ValueError that names what was received unless the value is a number with
    low <= value <= high, and above < value < below, as far as they are given."""
    bounds = [
        (f">= {low}", low, lambda: value >= low),
        (f"> {above}", above, lambda: value > above),
        (f"<= {high}", high, lambda: value <= high),
        (f"< {below}", below, lambda: value < below),
    ]
    given = [(text, holds) for text, bound, holds in bounds if bound is not None]
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not all(holds() for _, holds in given):
        expected = " and ".join(text for text, _ in given)
        raise ValueError(f"`{name}` must be a number {expected}. Received: {name}={value!r}")


def is_integer(value):
    """Whether this is an integer of Python or NumPy; True and False are not."""
    return not isinstance(value, bool) and hasattr(value, "__index__")


def _mark_as_logits(output):
    """Lets the guard see a cross-entropy that takes the output for probabilities.

    On TensorFlow Keras's losses read this attribute of a softmax output, and work on the logits
    that they find there. Without it they would clip log-probabilities to [0, 1], and nothing
    would train.
    """
    with contextlib.suppress(AttributeError):  # where JAX traces
        output._keras_logits = output
