"""A `Classifier` as the student of `keras.distillation.Distiller`."""

import keras

from keras_vsoftmax.distributed import replica
from keras_vsoftmax.losses import VirtualSoftmaxLoss
from keras_vsoftmax.models import serving
from keras_vsoftmax.models.classifier import Classifier


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class Student(keras.Model):
    """Give a `Classifier` to `keras.distillation.Distiller` as its student.

    The Distiller calls its student without labels, and compares its output with the teacher's by
    losses that normalise it. So this model gives the plain logits z = head.logits(backbone(x)),
    in training as well, and `supervised_loss` takes the labels to the head:

        supervised_loss(y, z) = the loss over head(features, y), the features those of z

    which is L in training, and the plain cross-entropy in evaluation. It trains the backbone and
    the head of `model` themselves, which afterwards is used as ever.

    Args:
        model: A `Classifier`, whose head has no `block_size` and no `class_sampling`.
        loss: `VirtualSoftmaxLoss` or a subclass; the default is `VirtualSoftmaxLoss()`.
        **kwargs: `name` and the other arguments of `keras.Model`.

    Raises:
        TypeError: For anything else than a `Classifier`.
        ValueError: For a head in blocks, and for another loss.

    Example:

    ```python
    student = Student(model)
    # By its default name, "kl_divergence", Keras 3.15 takes the divergence of bare logits.
    kl = keras.distillation.LogitsDistillation(3.0, loss=keras.losses.KLDivergence())
    distiller = keras.distillation.Distiller(teacher, student, kl)
    distiller.compile("adam", loss=student.supervised_loss, metrics=["accuracy"])
    distiller.fit(x, y)
    model.predict(x)
    ```
    """

    def __init__(self, model, loss=None, **kwargs):
        super().__init__(autocast=False, **kwargs)
        if not isinstance(model, Classifier):
            raise TypeError(f"`model` must be a Classifier. Received: model={model!r}")
        if model.head.gives_two_columns:
            raise ValueError(
                "Distillation needs the logits of all classes: make the head without block_size "
                f"and class_sampling. Received: block_size={model.head.block_size}, "
                f"class_sampling={model.head.class_sampling}"
            )
        loss = VirtualSoftmaxLoss() if loss is None else loss
        if not isinstance(loss, VirtualSoftmaxLoss):
            raise ValueError(
                f"`loss` must be VirtualSoftmaxLoss, or a subclass of it. Received: loss={loss!r}"
            )
        self.model = model
        self.head_loss = loss
        self._last = _LastCalls()

    def call(self, inputs, training=None):
        features = serving.features_of(self.model.backbone, inputs, training)
        logits = self.model.head.logits(features)
        self._last.keep(logits, features, training)
        return logits

    def supervised_loss(self, y_true, y_pred):
        """Return the loss of the head for the labels `y_true`, a scalar.

        Args:
            y_true: Labels, as the head takes them.
            y_pred: What this model gave in the same step.

        Raises:
            ValueError: For another tensor than the last output.
        """
        features, training = self._last.take(y_pred)
        return self.head_loss(y_true, self.model.head(features, y_true, training=training))

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "model": keras.saving.serialize_keras_object(self.model),
            "loss": keras.saving.serialize_keras_object(self.head_loss),
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        for name in ("model", "loss"):
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)


class _LastCalls:
    """The features behind the last output of each replica."""

    def __init__(self):
        self._calls = []

    def keep(self, logits, features, training):
        earlier = self._calls[len(self._calls) + 1 - replica.count() :]
        self._calls = [*earlier, (logits, features, bool(training))]

    def take(self, y_pred):
        for call in self._calls:
            if call[0] is y_pred:
                self._calls = [other for other in self._calls if other is not call]
                return call[1:]
        raise ValueError(
            "supervised_loss takes the output of this student in the same step, as "
            f"keras.distillation.Distiller hands it over. Received: y_pred={y_pred!r}"
        )
