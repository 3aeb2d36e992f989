"""`Classifier`: a backbone and a head, with the labels taken to the head in training."""

import contextlib
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops as kops

from keras_vsoftmax import labels as label_lib
from keras_vsoftmax.distributed.training import ReplicatedTraining
from keras_vsoftmax.keras_gaps.portable import portable
from keras_vsoftmax.losses import VirtualSoftmaxLoss
from keras_vsoftmax.models import serving
from keras_vsoftmax.models.blocked_training import BlockedTraining


class _Labelled(NamedTuple):
    """What a training step calls the model with: private, so that no backbone's input is one."""

    inputs: Any
    labels: Any


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class Classifier(BlockedTraining, ReplicatedTraining, keras.Model):
    """A backbone and a head, trained with `fit(x, y)` and used from `x` alone.

        output = head(backbone(x), y)  in training,    head(backbone(x))  elsewhere

    Everything else is `keras.Model`: arrays, tf.data, generators and `keras.utils.PyDataset`,
    sample and class weights, callbacks, saving.

    Args:
        backbone: A Keras model or layer that gives features (..., d). Its input may be one
            tensor, a list or a dict.
        head: A head of this package.
        **kwargs: `name` and the other arguments of `keras.Model`.

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
        self._invalid_labels = _InvalidLabels(name="invalid_labels", dtype="float32")
        self._invalid_labels_before = 0
        self._label_rank = None  # of class ids, known from the first call on
        self._label_ndim = {}  # of the last labels, for each function that Keras traced
        inputs = serving.symbolic_inputs(backbone)
        if inputs is not None:
            self(inputs)

    def call(self, inputs, training=None):
        inputs, labels = inputs if isinstance(inputs, _Labelled) else (inputs, None)
        features = self.backbone(inputs, training=training)
        self._label_rank = len(features.shape) - 1
        return self.head(features, labels, training=training)

    # Compiling.

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        """Configures training, as `keras.Model.compile` does.

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
        self._metrics_take_rows = None
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

    # Labels on their way to the head, and checked.

    def train_step(self, *args):
        *state, data = args
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        _require_labels(y)
        return super().train_step(*state, (_Labelled(x, y), y, sample_weight))

    def test_step(self, *args):
        *state, data = args
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        if self._in_blocks:
            data = _Labelled(x, y), y, sample_weight
        return super().test_step(*state, data)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        _require_labels(y)
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        _require_labels(y)
        labels = self._interpret(y, y_pred)
        invalid = kops.cast(kops.logical_not(labels.valid), "float32")
        self._invalid_labels.update_state(kops.sum(invalid))
        return super().compute_metrics(
            x, self._for_metrics(y, labels, y_pred), y_pred, sample_weight
        )

    def _interpret(self, y, y_pred):
        return label_lib.interpret(
            y,
            self.head.units,
            tuple(y_pred.shape)[:-1],
            y_pred.dtype,
            self.head.accepts_rows,
            self._ignore_class(),
        )

    def _for_metrics(self, y, labels, y_pred):
        """Labels in the form for which Keras made the metrics: that of the first labels."""
        rows = label_lib.is_rows(y.shape, self.head.units, tuple(y_pred.shape)[:-1])
        if self._metrics_take_rows is None:
            self._metrics_take_rows = rows
        if rows == self._metrics_take_rows or self._compile_metrics is None:
            return y
        if rows:
            raise ValueError(
                "The metrics were made for class ids, the first labels after compile(). Call "
                f"compile() again to use rows. Received: labels.shape={tuple(y.shape)}"
            )
        return kops.one_hot(labels.ids, self.head.units)

    def get_metrics_result(self):
        results = super().get_metrics_result()
        results.pop(self._invalid_labels.name, None)
        return results

    def reset_metrics(self):
        # Validation resets the metrics before the epoch is over: keep what training counted.
        self._invalid_labels_before += int(self._invalid_labels.result())
        super().reset_metrics()

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
        """Trains the model, as `keras.Model.fit` does.

        Raises:
            ValueError: For bad labels: in arrays before the first step, in streams after the
                epoch in which they came.
            FloatingPointError: After the first epoch whose loss is not finite although all
                labels were valid.
        """
        self._check_arrays(x, y)
        if isinstance(validation_data, (tuple, list)):
            self._check_arrays(*validation_data[:2])
        watch = _StopWhenNotFinite()
        if isinstance(callbacks, keras.callbacks.CallbackList):
            callbacks.append(watch)
        else:
            listed = isinstance(callbacks, (list, tuple))
            callbacks = [*(callbacks if listed else [callbacks] if callbacks else []), watch]
        self._retrace_for("train_function", y)
        self._invalid_labels.reset_state()
        self._invalid_labels_before = 0
        arguments = (batch_size, epochs, verbose, callbacks, validation_split, validation_data)
        with self._usable_after_error():
            history = super().fit(x, y, *arguments, **kwargs)
        if watch.epoch is not None:
            self._raise_not_finite(watch)
        return history

    def evaluate(self, x=None, y=None, *args, **kwargs):
        """Returns the loss and the metrics, as `keras.Model.evaluate` does.

        Raises:
            ValueError: For bad labels: in arrays before the first step, in streams at the end.
        """
        self._check_arrays(x, y)
        self._retrace_for("test_function", y)
        with self._usable_after_error():
            results = super().evaluate(x, y, *args, **kwargs)
        bad = int(self._invalid_labels.result())
        if bad:
            raise ValueError(f"Evaluation met bad labels: {self._describe_invalid(bad)}")
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
                _require_labels(y)
        elif hasattr(y, "__array__") or isinstance(y, list):
            label_lib.check_array(
                y, self.head.units, self._label_rank, self._ignore_class(), self.head.accepts_rows
            )

    def _retrace_for(self, function, y):
        # A TensorFlow function that meets labels of two ranks forgets the rank of both.
        ndim = getattr(y, "ndim", None)
        if self._label_ndim.get(function, ndim) != ndim:
            setattr(self, function, None)
        self._label_ndim[function] = ndim

    @contextlib.contextmanager
    def _usable_after_error(self):
        """Brings the model back where Keras would leave it broken after a step that failed."""
        try:
            yield
        except Exception:
            # TensorFlow cannot go on with a function that failed before it made its variables.
            self.train_function = self.test_function = None
            if keras.backend.backend() == "jax":
                self.jax_state_sync()
            raise

    def _get_jax_state(self, **kwargs):
        # Keras would purge the weights here, and so lose them in a step that fails.
        return super()._get_jax_state(**{**kwargs, "purge_model_variables": False})

    def _ignore_class(self):
        return getattr(getattr(self, "loss", None), "ignore_class", None)

    def _raise_not_finite(self, watch):
        bad = self._invalid_labels_before + int(self._invalid_labels.result())
        if bad:
            raise ValueError(
                f"Training met bad labels in epoch {watch.epoch + 1}: "
                f"{self._describe_invalid(bad)} They changed no weight; the good samples and the "
                "batches before them were applied."
            )
        raise FloatingPointError(
            f"Training diverged in epoch {watch.epoch + 1}: the loss is {watch.loss} although "
            "every label was valid. A lower learning rate, or gradient clipping, may help; a "
            "custom loss must not normalise the output again. The steps before were applied."
        )

    def _describe_invalid(self, count):
        return (
            f"{count} of them were no class id from 0 to {self.head.units - 1} and no "
            f"{'' if self.head.accepts_rows else 'one-hot '}row of {self.head.units} "
            "probabilities, so that the loss is NaN."
        )

    # Using what was trained.

    def embed(
        self, x, batch_size=None, verbose="auto", steps=None, callbacks=None, normalize=False
    ):
        """Features of the backbone, in batches.

        Args:
            x, batch_size, verbose, steps, callbacks: As for `keras.Model.predict`.
            normalize: Whether each feature vector is divided by its Euclidean norm. Zero
                vectors stay zero.

        Returns:
            NumPy array (samples, ..., d), float32, or float64 under a float64 policy.
        """
        model = self.backbone
        if not isinstance(model, keras.Model):
            model = keras.Sequential([model])
        features = model.predict(x, batch_size, verbose, steps, callbacks)
        features = np.asarray(features, dtype=self.head.output_dtype)
        return keras.utils.normalize(features) if normalize else features

    def predict_classes(self, x, batch_size=None, verbose="auto", steps=None, callbacks=None):
        """Class ids, in batches: the argmax of what `predict` gives.

        A head with `block_size` finds them without holding the logits of a batch.

        Args:
            x, batch_size, verbose, steps, callbacks: As for `keras.Model.predict`.

        Returns:
            NumPy array (samples, ...), int32.
        """
        model = serving.Serving(self.backbone, self.head, "classes")
        return model.predict(x, batch_size, verbose, steps, callbacks)

    def export(
        self, filepath, format="tf_saved_model", output="log_probs", input_signature=None, **kwargs
    ):
        """Exports a model for serving that takes the backbone's input alone.

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


class _InvalidLabels(keras.metrics.Sum):
    """Counts bad labels of a data pass. Nothing that belongs into a file."""

    def save_own_variables(self, store):
        pass

    def load_own_variables(self, store):
        pass


class _StopWhenNotFinite(keras.callbacks.Callback):
    """Ends training after the first epoch whose loss is not finite."""

    def __init__(self):
        super().__init__()
        self.epoch = None
        self.loss = None

    def on_epoch_end(self, epoch, logs=None):
        loss = (logs or {}).get("loss", 0.0)
        if not np.isfinite(loss):
            self.epoch, self.loss = epoch, float(loss)
            self.model.stop_training = True


def _require_labels(y):
    if y is None:
        raise ValueError(
            "Classifier needs labels to train and to evaluate: fit(x, y), or a data set of (x, y) "
            "or (x, y, sample_weight). Received: no labels"
        )
