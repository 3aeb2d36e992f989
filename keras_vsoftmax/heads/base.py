"""What all heads share: the kernel, the reading of labels, and the contract of the output."""

import keras
from keras import ops as kops

from keras_vsoftmax import labels as label_lib
from keras_vsoftmax import numerics
from keras_vsoftmax.heads import two_columns
from keras_vsoftmax.heads.checks import check_range, is_integer
from keras_vsoftmax.heads.partition import shifted
from keras_vsoftmax.heads.sampling import sampler_of
from keras_vsoftmax.heads.terms import Batch, Terms
from keras_vsoftmax.keras_gaps.logits_mark import mark_as_logits


class Head(keras.layers.Layer):
    """Base class of the heads: a layer in the place of `Dense(units)` that knows the label.

    `head(inputs, labels)` returns log-probabilities, a shift of the plain logits row by row:

        output = z - P

    where P is logsumexp(z) outside training and z_label + L in training, with L the head's loss
    of that row. So `-output[label]` is the loss, while argmax and top-k of the output are those
    of the plain logits, in training as well. For rows of probabilities q, P is
    sum_c q_c z_c + L.

    Args:
        units: Integer, at least 2. Number of classes.
        kernel_initializer: Initializer of the kernel (d, units).
        kernel_regularizer: Regularizer of the kernel.
        kernel_constraint: Constraint of the kernel.
        label_smoothing: Float in [0, 1). With e > 0, L is taken over the row
            (1 - e) onehot(label) + e / units. It is an argument of the head and not of the
            loss, because a margin or a virtual class must see it.
        block_size: Integer, or None. With it the head goes over the classes in blocks of this
            size (2,048 is a good one), and never holds the logits of a batch, forward or
            backward. It takes no soft rows then, and with labels given its output is
            (..., 2), in training and outside: the log-probability of the label, and the highest
            among the other classes. The loss and its gradients are the same. `Classifier`
            gives loss and metrics the label 0; a functional model is trained with zeros.
        class_sampling: Float in (0, 1], or None. The share of the classes that a training step
            takes: all labels of the global batch, and a uniform draw of the others. The output
            for labels is (..., 2), as with `block_size`, which may be given beside it.
            Outside training all classes are taken. Without `label_smoothing`.
        sampling_correction: Boolean. Whether log((units - P) / (n - P)) is added to the logits
            of the drawn classes under the sum of exponentials, for n classes in the sample
            and P of them labels: the sum is then right in the mean over draws.
        sampling_seed: Integer, or None for one drawn at construction. The draw is a function of
            it and of the step, which is saved.
        **kwargs: `name`, `dtype` and the other arguments of `keras.layers.Layer`.

    Call arguments:
        inputs: Features (..., d).
        labels: Class ids, integers or integral floats, of shape (...,) or (..., 1), or one-hot
            rows (..., units); soft rows of probabilities where `accepts_rows`.
            Needed in training.
        training: Boolean.

    Output shape: (..., units), float32, or float64 under a float64 policy, whatever the compute
    dtype; (..., 2) with `block_size` or `class_sampling`, and labels.

    To be implemented by subclasses, all of them optional:

    - `training_terms(batch)`: what the head changes in the loss, as `Terms`.
    - `plain_logits(features, kernel)`: the logits z, where they are not features . kernel.
    - `add_state()`: the weights that it has besides the kernel.
    - `run_knobs(iterations, warmup, strength)`: the arguments that depend on the length of a run.
    - the facts `title`, `formula`, `source`, and the `ranges` in which a search varies its knobs.

    Example, a whole head, "the label's logit must win by a gap":

    >>> import keras
    >>> import numpy as np
    >>> from keras_vsoftmax import heads
    >>> @keras.saving.register_keras_serializable(package="example")
    ... class GapSoftmax(heads.Head):
    ...     title = "Gap Softmax"
    ...     formula = "z'_y = z_y - m"
    ...     source = "nobody, 2026"
    ...     ranges = {"gap": (0.1, 2.0)}
    ...
    ...     def __init__(self, units, *, gap=1.0, **kwargs):
    ...         super().__init__(units, **kwargs)
    ...         self.gap = gap
    ...
    ...     def get_config(self):
    ...         return {**super().get_config(), "gap": self.gap}
    ...
    ...     def training_terms(self, batch):
    ...         return heads.Terms(target=batch.label_logit - self.gap)
    >>> features, labels = np.eye(3, dtype="float32"), np.array([0, 1, 2])
    >>> tuple(GapSoftmax(3)(features, labels, training=True).shape)
    (3, 3)

    With `@heads.register("gap")` above the class, `heads.get("gap", units)`, search, tables and
    scripts know it as well.
    """

    # Facts, which search, tables, scripts and tests read.
    title = ""  # as tables call it
    formula = ""  # what it does in training, in one line
    source = ""  # authors, and where it was published
    ranges = {}  # of its knobs in a search: a tuple (low, high), or a list of values
    scheduled = False  # whether a schedule of steps changes its loss
    # Whether labels may be soft rows. A margin has no meaning for them: it takes one-hot rows as
    # the ids they are.
    accepts_rows = False
    # Whether the loss is a softmax over the classes: without `Terms.loss`.
    is_softmax = True
    # Class vectors a class; the kernel is (d, units * class_vectors), those of a class together.
    class_vectors = 1

    def __init__(
        self,
        units,
        *,
        kernel_initializer="glorot_uniform",
        kernel_regularizer=None,
        kernel_constraint=None,
        label_smoothing=0.0,
        block_size=None,
        class_sampling=None,
        sampling_correction=False,
        sampling_seed=None,
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
        self.block_size = two_columns.read_block_size(self, block_size)
        self.class_sampling = class_sampling
        self.sampling_correction = sampling_correction
        self.sampler = sampler_of(self, class_sampling, sampling_correction, sampling_seed)
        self.sampling_seed = sampling_seed if self.sampler is None else self.sampler.seed
        if self.gives_two_columns:
            self.accepts_rows = False
        self.supports_masking = True
        self._refused_shapes = None

    @property
    def is_plain_softmax(self):
        """Whether a stock cross-entropy on the output would be the head's own loss."""
        return False

    @property
    def gives_two_columns(self):
        """Whether the output for labels is (..., 2), as with `block_size` or `class_sampling`."""
        return self.block_size is not None or self.class_sampling is not None

    @property
    def output_dtype(self):
        """Dtype of the logits and of the output: float32, or float64 under float64."""
        return "float64" if self.compute_dtype == "float64" else "float32"

    def build(self, inputs_shape, labels_shape=None):
        dim = self._feature_dim(inputs_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(dim, self.units * self.class_vectors),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            autocast=False,
        )
        self.input_spec = [keras.layers.InputSpec(min_ndim=2, axes={-1: dim})]
        self.add_state()
        if self.sampler is not None:
            self.sampler.build()

    def logits(self, inputs):
        """Plain logits z of the head, (..., units), float32 or float64; their softmax predicts."""
        self._ensure_built(inputs)
        return self.plain_logits(*self._features_and_kernel(inputs))

    def predict_classes(self, inputs):
        """Class ids (...,), int32, those of the largest logits."""
        if self.block_size is None:
            return kops.cast(kops.argmax(self.logits(inputs), axis=-1), "int32")
        self._ensure_built(inputs)
        return two_columns.classes(self, inputs)

    def call(self, inputs, labels=None, training=None):
        if self.gives_two_columns and (training or labels is not None):
            return two_columns.output(self, inputs, self._read_labels(labels, inputs), training)
        features, kernel = self._features_and_kernel(inputs)
        logits = self.plain_logits(features, kernel)
        if not training:
            return kops.log_softmax(logits, axis=-1)
        batch = Batch(features, kernel, self._read_labels(labels, inputs), logits)
        guard = not self.is_plain_softmax
        output = shifted(batch, self.training_terms(batch), self.label_smoothing, guard)
        if guard:
            mark_as_logits(output)
        return output

    def compute_output_shape(self, inputs_shape, labels_shape=None):
        self._feature_dim(inputs_shape)
        two = self.gives_two_columns and labels_shape is not None
        return (*inputs_shape[:-1], 2 if two else self.units)

    def compute_output_spec(self, inputs, labels=None, training=None):
        if labels is not None:
            label_lib.is_rows(labels.shape, self.units, inputs.shape[:-1])
        labels_shape = None if labels is None else labels.shape
        return keras.KerasTensor(
            self.compute_output_shape(inputs.shape, labels_shape), self.output_dtype
        )

    def load_own_variables(self, store):
        if "0" in store:
            here = [tuple(weight.shape) for weight in self._own_weights()]
            there = [tuple(store[str(number)].shape) for number in range(len(store))]
            self._refused_shapes = there if there != here else None
        if self._refused_shapes is not None:
            # Keras asks again after an error, with an empty store, and reports the last error.
            names = ", ".join(f"{each.name} {tuple(each.shape)}" for each in self._own_weights())
            raise ValueError(
                f"The weights are those of another head: '{self.name}' has {names}. Give the head "
                "the arguments with which the file was written; a warm-up, for one, adds a step. "
                f"Received: weights of shapes {self._refused_shapes}"
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
            "block_size": self.block_size,
            "class_sampling": self.class_sampling,
            "sampling_correction": self.sampling_correction,
            "sampling_seed": self.sampling_seed,
            "activity_regularizer": keras.regularizers.serialize(self.activity_regularizer),
        }

    # Hooks.

    def add_state(self):
        """Add the weights that the head has besides its kernel: a schedule's step, averages.

        It is called once, when the head is built, after the kernel was added. Call
        `super().add_state()` first.
        """

    def plain_logits(self, features, kernel):
        """Return the logits z, by which the head predicts.

        They must be made column by column, so that a slice of the kernel's columns gives that
        slice of the logits.

        Args:
            features: Float tensor (..., d), in `output_dtype`.
            kernel: Float tensor (d, units * class_vectors), in `output_dtype`.

        Returns:
            Float tensor (..., units).
        """
        return numerics.product(features, kernel)

    def training_terms(self, batch):
        """Return what makes the loss of a training batch. It is called once a training pass.

        What the head keeps from step to step is updated here, from valid rows only; averages
        over the global batch, the same on every replica, are in
        `keras_vsoftmax.heads.global_batch`.

        Args:
            batch: A `Batch`. A head that leaves its `logits` and its `kernel` alone, and asks
                for what else a batch has, can be computed in blocks of classes.

        Returns:
            `Terms`.
        """
        return Terms()

    @classmethod
    def run_knobs(cls, iterations, warmup=0.0, strength=1.0):
        """Return the arguments, as a dict, by which a run of so many steps differs from others.

        A head with a schedule goes through the same one in a shorter or longer run.

        Args:
            iterations: Number of steps.
            warmup: Share of them over which what a head adds may come in.
            strength: How much of what a head adds is there afterwards, where that can be less.
        """
        return {}

    def targets(self, labels, output, ignore_class=None):
        """Return the labels that loss and metrics need for this head's output.

        Args:
            labels: As given to the head.
            output: What the head gave for them, or a symbolic tensor of its shape.
            ignore_class: Id that the loss ignores, or None.

        Returns:
            Tensor: the labels themselves, but for an output that is not (..., units).
        """
        if not self.gives_two_columns:
            return labels
        return two_columns.targets(self, labels, output, ignore_class)

    def check_compile(self, loss, metrics):
        """Raise a ValueError for a loss or metrics that the head's output cannot serve.

        Args:
            loss: A `keras.losses.Loss`.
            metrics: What `keras.Model.compile` takes as its metrics, in any nesting.
        """
        if self.gives_two_columns:
            two_columns.check_compile(loss, metrics)

    # For hooks.

    def smoothed_logit(self, batch):
        """sum_c q_c z_c (...,), with q the label's row after label smoothing."""
        e = self.label_smoothing
        if not e:
            return batch.label_logit
        return (1 - e) * batch.label_logit + e * batch.mean_logit

    def add_number(self, name, value, trainable=False):
        """Add a scalar weight of the output's precision, the same on every replica."""
        return self.add_weight(
            name=name,
            shape=(),
            # keras.initializers.Constant goes through float32.
            initializer=lambda shape, dtype=None: kops.full(shape, value, dtype=dtype),
            dtype=self.output_dtype,
            trainable=trainable,
            autocast=False,
            aggregation="none" if trainable else "only_first_replica",
        )

    def rounded(self, tensor):
        """A tensor rounded to the compute dtype, held in the output dtype.

        The product of half-precision numbers is exact in float32, so that one of rounded tensors
        is a product in half precision that is accumulated and kept in float32.
        """
        return kops.cast(kops.cast(tensor, self.compute_dtype), self.output_dtype)

    def _features_and_kernel(self, inputs):
        return self.rounded(inputs), self.rounded(kops.convert_to_tensor(self.kernel))

    def _own_weights(self):
        # The sampler's step has a place of its own in files, and may be missing there.
        return [
            each for each in self.weights if self.sampler is None or each is not self.sampler.step
        ]

    def _ensure_built(self, inputs):
        if not self.built:
            self.build(inputs.shape)

    def _read_labels(self, labels, inputs):
        if labels is None:
            raise ValueError(
                f"{type(self).__name__} needs labels in training: without them it would train a "
                "plain softmax. Call head(features, labels), wrap backbone and head in "
                "keras_vsoftmax.Classifier, or give the functional model a label input. "
                "Received: labels=None with training=True"
            )
        leading_shape = tuple(inputs.shape)[:-1]
        return label_lib.interpret(
            labels, self.units, leading_shape, self.output_dtype, self.accepts_rows
        )

    def _feature_dim(self, inputs_shape):
        if len(inputs_shape) < 2 or inputs_shape[-1] is None:
            raise ValueError(
                f"{type(self).__name__} needs features of shape (..., d) with a known last "
                f"dimension. Received: inputs.shape={tuple(inputs_shape)}"
            )
        return inputs_shape[-1]
