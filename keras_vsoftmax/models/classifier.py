"""`Classifier`: a backbone and a head, with the labels taken to the head in training."""

import keras
import numpy as np
from keras import ops as kops

from keras_vsoftmax import labels as label_lib
from keras_vsoftmax.distributed.training import ReplicatedTraining
from keras_vsoftmax.keras_gaps.failed_steps import UsableAfterErrors
from keras_vsoftmax.keras_gaps.label_rank import RankOfLabels
from keras_vsoftmax.keras_gaps.portable import portable
from keras_vsoftmax.losses import VirtualSoftmaxLoss
from keras_vsoftmax.models import serving
from keras_vsoftmax.models.label_routing import LabelRouting, require_labels
from keras_vsoftmax.models.label_watch import LabelWatch
from keras_vsoftmax.models.result_names import ResultNames
from keras_vsoftmax.models.virtual_watch import VirtualWatch
from keras_vsoftmax.utils.vectors import unit


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class Classifier(
    ReplicatedTraining, LabelRouting, RankOfLabels, ResultNames, UsableAfterErrors, keras.Model
):
    """A backbone and a head, trained with `fit(x, y)` and used from `x` alone.

        output = head(backbone(x), y)  in training,    head(backbone(x))  elsewhere

    Everything else is `keras.Model`: arrays, tf.data, generators and `keras.utils.PyDataset`,
    sample and class weights, callbacks, saving.

    Args:
        backbone: A Keras model or layer that gives features (..., d). Its input may be one
            tensor, a list or a dict.
        head: A head of this package.
        **kwargs: `name` and the other arguments of `keras.Model`.

    Call arguments:
        inputs: The backbone's input.
        labels: Class ids (...,) or (..., 1), or rows of probabilities (..., units), as the head
            takes them. Needed in training, where `fit` hands them over.
        training: Boolean.

    A loop of your own calls `output = model(x, labels=y, training=True)` and minimises
    `VirtualSoftmaxLoss()(y, output)`, as `fit` does.

    `predict` and `evaluate` see plain log-softmax outputs, so that the validation loss is the
    plain cross-entropy. Labels outside [0, units), or rows that are no probabilities, are
    refused before the first step where they come as arrays. In a stream they make the loss NaN,
    never a wrong number, without touching the weights, and `fit` and `evaluate` end with an
    error.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> import keras_vsoftmax
    >>> backbone = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
    >>> model = keras_vsoftmax.Classifier(backbone, keras_vsoftmax.VirtualSoftmax(3))
    >>> model.compile("sgd", metrics=["accuracy"])
    >>> x, y = np.ones((6, 8), "float32"), np.array([0, 1, 2, 0, 1, 2])
    >>> history = model.fit(x, y, verbose=0)
    >>> model.predict(x, verbose=0).shape
    (6, 3)
    """

    # Constructing.

    def __init__(self, backbone, head, **kwargs):
        # Without autocast, so that ids and rows never become half precision on their way.
        super().__init__(autocast=False, **kwargs)
        if not isinstance(backbone, keras.Layer):
            raise TypeError(
                "`backbone` must be a Keras model or layer that gives features. "
                f"Received: backbone={backbone!r}"
            )
        # A head is whatever keeps the contract of keras_vsoftmax.heads.Head.
        if not (isinstance(head, keras.Layer) and hasattr(head, "is_plain_softmax")):
            raise TypeError(
                "`head` must be a head of this package, such as VirtualSoftmax(units). "
                f"Received: head={head!r}"
            )
        self.backbone = backbone
        self.head = head
        self._watch, self._virtual_watch = LabelWatch(head), VirtualWatch(head)
        self._serving = serving.ServingModels()
        self._in_first_call = False
        self._input_dtypes = None  # of the inputs that built the model, flat
        self._label_rank = None  # of class ids, known from the first call on
        inputs = serving.symbolic_inputs(backbone)
        if inputs is not None:
            self(inputs)

    def __call__(self, inputs, labels=None, **kwargs):
        if self.built:
            return super().__call__(inputs, labels, **kwargs)
        self._in_first_call, self._input_dtypes = True, serving.dtypes_of(inputs)
        try:
            return super().__call__(inputs, labels, **kwargs)
        finally:
            self._in_first_call = False

    def build(self, input_shape):
        """Make the weights for inputs of this shape, or of this structure of shapes."""
        if self.backbone.built and self.head.built:
            return
        default = self.backbone.compute_dtype
        dtypes = iter(self._input_dtypes or ())
        inputs = keras.tree.map_shape_structure(
            lambda shape: keras.KerasTensor(shape, next(dtypes, default)), input_shape
        )
        try:
            self.head(serving.features_of(self.backbone, inputs, training=False))
        except Exception:
            # A backbone that cannot be traced is built by the call with the inputs themselves.
            if not self._in_first_call:
                raise
        if self.compiled and not self._in_first_call:
            # Weights that are loaded next may bring the optimizer's state along.
            self.optimizer.build(self.trainable_variables)

    def call(self, inputs, labels=None, training=None):
        if training and labels is None:
            raise ValueError(
                "Classifier needs the labels in training: fit(x, y), or "
                "model(x, labels=y, training=True) in a loop of your own. "
                "Received: labels=None with training=True"
            )
        features = serving.features_of(self.backbone, inputs, training)
        self._label_rank = len(features.shape) - 1
        return self.head(features, labels, training=training)

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "head": keras.saving.serialize_keras_object(self.head),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("backbone", "head"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)

    def get_build_config(self):
        config = super().get_build_config()
        if config and self._input_dtypes:
            config = {**config, "input_dtypes": list(self._input_dtypes)}
        return config

    def build_from_config(self, config):
        # Backbone and head bring build configs of their own. In older files the shapes of the
        # labels stand beside those of the inputs here.
        if config and not (self.backbone.built and self.head.built):
            self._input_dtypes = tuple(config.get("input_dtypes", ())) or None
            self.build(config["input_shape"])

    # Compiling.

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        """Configure training, as `keras.Model.compile` does.

        Args:
            optimizer: As for Keras.
            loss: `VirtualSoftmaxLoss` or a subclass; the default is `VirtualSoftmaxLoss()`.
                The plain softmax head, without label smoothing, also takes Keras's
                cross-entropies with `from_logits=True`.
            **kwargs: The other arguments of `keras.Model.compile`.

        Raises:
            ValueError: For a loss that would drop the virtual class or the margin, and for what
                a head in blocks cannot serve: top-k metrics, and the `ignore_class` 0.
        """
        loss = VirtualSoftmaxLoss() if loss is None else loss
        self._check_loss(loss)
        self.head.check_compile(loss, [kwargs.get("metrics"), kwargs.get("weighted_metrics")])
        self._metrics_take_rows = None
        self._has_metrics = bool(kwargs.get("metrics") or kwargs.get("weighted_metrics"))
        self._serving.forget()
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def compile_from_config(self, config):
        # Keras skips this step where `compile` is overridden.
        self.compile(**keras.saving.deserialize_keras_object(portable(config)))
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def _check_loss(self, loss):
        if isinstance(loss, VirtualSoftmaxLoss):
            return
        stock = (keras.losses.SparseCategoricalCrossentropy, keras.losses.CategoricalCrossentropy)
        if self.head.is_plain_softmax:
            if isinstance(loss, stock) and loss.get_config()["from_logits"]:
                return
            reason = (
                "The output holds log-probabilities, so that a cross-entropy must be given as an "
                "object with from_logits=True."
            )
        else:
            reason = (
                "Any other cross-entropy normalises the log-probabilities again, which removes "
                "the virtual class or the margin and trains a plain softmax."
            )
        raise ValueError(
            f"Classifier with {type(self.head).__name__} takes VirtualSoftmaxLoss, or a subclass "
            f"of it, as its loss. {reason} Received: loss={loss!r}"
        )

    # Training: the steps.

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        require_labels(y)
        y = self.head.targets(y, y_pred, self._ignore_class())
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        require_labels(y)
        labels = self._interpret(y, y_pred)
        self._watch.count(labels.valid)
        self._virtual_watch.look(y_pred)
        y = self.head.targets(y, y_pred, self._ignore_class())
        y = self._for_metrics(y, labels, y_pred)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _interpret(self, y, y_pred):
        return label_lib.interpret(
            y,
            self.head.units,
            tuple(y_pred.shape)[:-1],
            y_pred.dtype,
            self._accepts_rows,
            self._ignore_class(),
        )

    def _for_metrics(self, y, labels, y_pred):
        """Labels in the form for which Keras made the metrics: that of the first labels."""
        rows = label_lib.is_rows(y.shape, self.head.units, tuple(y_pred.shape)[:-1])
        if self._metrics_take_rows is None:
            self._metrics_take_rows = rows
        if rows == self._metrics_take_rows or not self._has_metrics:
            return y
        if rows:
            raise ValueError(
                "The metrics were made for class ids, the first labels after compile(). Call "
                f"compile() again to use rows. Received: labels.shape={tuple(y.shape)}"
            )
        return kops.one_hot(labels.ids, self.head.units)

    @property
    def metrics_variables(self):
        own = [*self._watch.variables, *self._virtual_watch.variables]
        return super().metrics_variables + own

    def reset_metrics(self):
        self._watch.begin_pass()
        super().reset_metrics()

    # Training: the calls.

    def fit(
        self,
        x=None,
        y=None,
        batch_size=None,
        epochs=1,
        verbose="auto",
        callbacks=None,
        validation_split=0.0,
        validation_data=None,
        **kwargs,
    ):
        """Train the model, as `keras.Model.fit` does.

        Raises:
            ValueError: For bad labels: in arrays before the first step, in streams after the
                epoch in which they came.
            FloatingPointError: After the first epoch whose loss is not finite although all
                labels were valid, unless a callback had handled it: if one has set
                `model.stop_training` by then, as `keras.callbacks.TerminateOnNaN` does, the
                history is returned.
        """
        self._check_arrays(x, y)
        if isinstance(validation_data, (tuple, list)):
            self._check_arrays(*validation_data[:2])
        if self.head.sampler is not None and hasattr(y, "__len__"):
            sizes = (batch_size, validation_split)
            self.head.sampler.check_fit(np.shape(y), self._label_rank, *sizes)
        watches = [*self._virtual_watch.callbacks(), self._watch.begin_training()]
        if isinstance(callbacks, keras.callbacks.CallbackList):
            for watch in watches:
                callbacks.append(watch)
        else:
            listed = isinstance(callbacks, (list, tuple))
            callbacks = [*(callbacks if listed else [callbacks] if callbacks else []), *watches]
        self.retrace_for("train_function", y)
        arguments = (batch_size, epochs, verbose, callbacks, validation_split, validation_data)
        with self.usable_after_error():
            history = super().fit(x, y, *arguments, **kwargs)
        self._watch.end_training(watches[-1])
        return history

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """Return the loss and the metrics, as `keras.Model.evaluate` does.

        Raises:
            ValueError: For bad labels: in arrays before the first step, in streams at the end.
        """
        self._check_arrays(x, y)
        self.retrace_for("test_function", y)
        with self.usable_after_error():
            results = super().evaluate(x, y, *args, **kwargs)
        self._watch.end_evaluation()
        return results

    def train_on_batch(self, x, y=None, *args, **kwargs):
        self._check_arrays(x, y)
        return super().train_on_batch(x, y, *args, **kwargs)

    def test_on_batch(self, x, y=None, *args, **kwargs):
        self._check_arrays(x, y)
        return super().test_on_batch(x, y, *args, **kwargs)

    def _check_arrays(self, x=None, y=None):
        if y is None:
            # A stream brings its labels itself.
            if hasattr(x, "__array__") or isinstance(x, (list, tuple, dict)):
                require_labels(y)
        elif isinstance(y, (dict, tuple)):
            require_labels(y)
        elif hasattr(y, "__array__") or isinstance(y, list):
            label_lib.check_array(
                y, self.head.units, self._label_rank, self._ignore_class(), self._accepts_rows
            )

    @property
    def _accepts_rows(self):
        """Whether all that is trained takes soft rows."""
        return self.head.accepts_rows

    def _ignore_class(self):
        return getattr(getattr(self, "loss", None), "ignore_class", None)

    # Using what was trained.

    def embed(
        self, x, batch_size=None, verbose="auto", steps=None, callbacks=None, normalize=False
    ):
        """Return the features of the backbone, in batches.

        Args:
            x, batch_size, verbose, steps, callbacks: As for `keras.Model.predict`.
            normalize: Whether to divide each feature vector by its Euclidean norm, unless zero.

        Returns:
            NumPy array (samples, ..., d), float32, or float64 under a float64 policy.
        """
        model = self._serving.get(self, "features")
        features = model.predict(x, batch_size, verbose, steps, callbacks)
        features = np.asarray(features, dtype=self.head.output_dtype)
        return unit(features) if normalize else features

    def predict_classes(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Return class ids, in batches: the argmax of what `predict` gives.

        A head with `block_size` finds them without holding the logits of a batch.

        Args:
            x, batch_size, verbose, steps, callbacks: As for `keras.Model.predict`.

        Returns:
            NumPy array (samples, ...), int32.
        """
        model = self._serving.get(self, "classes")
        return model.predict(x, batch_size, verbose, steps, callbacks)

    def export(
        self, filepath, format="tf_saved_model", output="log_probs", input_signature=None, **kwargs
    ):
        """Export a model for serving that takes the backbone's input alone.

        Args:
            filepath: Where to write.
            format: As for `keras.Model.export`: "tf_saved_model" (TensorFlow and JAX), "onnx"
                (TensorFlow and torch), and so on.
            output: "log_probs", "probs" or "logits": what the exported model returns.
            input_signature: As for `keras.Model.export`. Needed only where the backbone is
                neither a functional nor a built sequential model.
            **kwargs: Other arguments of `keras.Model.export`.
        """
        if input_signature is not None:
            kwargs["input_signature"] = input_signature
        serving.export(self.backbone, self.head, output, filepath, format=format, **kwargs)

    def quantize(self, mode, *args, **kwargs):
        self._serving.forget()
        return super().quantize(mode, *args, **kwargs)
