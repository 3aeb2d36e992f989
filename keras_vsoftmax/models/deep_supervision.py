"""Deep supervision: heads at hidden layers that help the one at the top, and fade."""

import keras
from keras import ops

from keras_vsoftmax.distributed import global_loss, replica, steps
from keras_vsoftmax.heads.checks import check_range, is_integer
from keras_vsoftmax.losses import VirtualSoftmaxLoss
from keras_vsoftmax.models.classifier import Classifier


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class DeeplySupervised(Classifier):
    """A `Classifier` whose backbone gives features at several depths, each with a head.

        loss = loss_top + w(step) sum_m loss_m,
        w(step) = companion_weight max(0, 1 - step / fade_steps)

    The features of the backbone are a list, the last of them the embedding. The head is for that
    one, and a companion for each of the others, any head of the package. The companions take
    part in `fit` alone: `predict`, `evaluate`, `embed` and `export` are those of a `Classifier`
    with the embedding and the head. In `fit`, `companion_1_loss` and so on are reported as
    metrics, without their weight. The steps are counted in a saved weight, so that a resumed run
    fades on.

    The paper weighs its companions by a factor that falls from epoch to epoch, and leaves those out
    whose loss is below a threshold; its authors' configuration ends with training without
    companions. Here the factor falls linearly with the steps, from a tenth to zero, without a
    threshold.

    Args:
        backbone: A functional `keras.Model` with a list of outputs (batch, d_m).
        head: The head of the last output.
        companions: List of heads with as many units, one for each of the other outputs.
        companion_weight: Float, at least 0. Weight of the companions' losses at the start.
        fade_steps: Integer, at least 1. Training steps after which they count no more.
        **kwargs: `name` and the other arguments of `keras.Model`.

    Raises:
        TypeError: For a companion that is no head.
        ValueError: For a backbone without such a list of outputs, or not as many companions, or
            companions of other units, with `block_size` or with `class_sampling`.

    Example:

    >>> import keras
    >>> import numpy as np
    >>> from keras_vsoftmax import heads
    >>> from keras_vsoftmax.models.deep_supervision import DeeplySupervised
    >>> x = keras.Input((8,))
    >>> hidden = keras.layers.Dense(6, activation="relu")(x)
    >>> backbone = keras.Model(x, [hidden, keras.layers.Dense(4)(hidden)])
    >>> top, companion = heads.Softmax(3), heads.VirtualSoftmax(3)
    >>> model = DeeplySupervised(backbone, top, [companion], fade_steps=100)
    >>> model.compile("sgd", metrics=["accuracy"])
    >>> history = model.fit(np.ones((6, 8)), np.arange(6) % 3, verbose=0)
    >>> sorted(history.history)
    ['accuracy', 'companion_1_loss', 'loss']
    >>> model.embed(np.ones((6, 8)), verbose=0).shape
    (6, 4)

    Source: Lee, Xie et al., "Deeply-Supervised Nets", AISTATS 2015, section 2.
    """

    _complete = False

    def __init__(
        self, backbone, head, companions, *, companion_weight=0.1, fade_steps=18_000, **kwargs
    ):
        outputs = getattr(backbone, "output", None)
        if not isinstance(outputs, (list, tuple)) or len(outputs) < 2:
            raise ValueError(
                "`backbone` must be a functional model with a list of outputs, the embedding last. "
                f"Received: backbone.output={outputs}"
            )
        _check_companions(companions, head, len(outputs) - 1)
        check_range("companion_weight", companion_weight, low=0)
        if not is_integer(fade_steps) or fade_steps < 1:
            raise ValueError(
                "`fade_steps` must be an integer of at least 1. "
                f"Received: fade_steps={fade_steps!r}"
            )
        super().__init__(keras.Model(backbone.input, outputs[-1], name="embedding"), head, **kwargs)
        self.deep_backbone = backbone
        self.companions = list(companions)
        self.companion_weight = float(companion_weight)
        self.fade_steps = int(fade_steps)
        self.companion_step = steps.add_counter(self, "companion_step")
        self._companion_losses = []
        for number, (companion, features) in enumerate(zip(self.companions, outputs), 1):
            if not companion.built:
                companion.build(features.shape)
            self._companion_losses.append(keras.metrics.Mean(name=f"companion_{number}_loss"))
        self._pending = _Pending()
        self._testing = False
        self._complete = True
        self(backbone.input)

    def __call__(self, inputs, *args, **kwargs):
        # The constructor of Classifier would build the model before it has its companions.
        return super().__call__(inputs, *args, **kwargs) if self._complete else None

    def call(self, inputs, labels=None, training=None):
        if not training or labels is None:
            return super().call(inputs, labels, training)
        *depths, features = self.deep_backbone(inputs, training=True)
        self._label_rank = len(features.shape) - 1
        output = self.head(features, labels, training=True)
        weight = self._next_weight()
        outputs = [
            companion(features, labels, training=True)
            for companion, features in zip(self.companions, depths, strict=True)
        ]
        self._pending.put(output, (weight, outputs))
        return output

    def _next_weight(self):
        step = ops.cast(steps.count_one(self.companion_step), "float32")
        left = 1 - step / self.fade_steps
        return self.companion_weight * ops.maximum(left, 0.0)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        if not training:
            return loss
        weight, outputs = self._pending.take(y_pred)
        measure = self.loss if isinstance(self.loss, VirtualSoftmaxLoss) else VirtualSoftmaxLoss()
        for output, tracker in zip(outputs, self._companion_losses, strict=True):
            # As Keras scales it, so that the gradients of the replicas sum to those of one device.
            value = measure(y, output, sample_weight) / replica.count()
            value = global_loss.global_loss(value, [], measure, y, output, sample_weight)
            # By samples, as Keras tracks the loss.
            tracker.update_state(value * replica.count(), sample_weight=ops.shape(y_pred)[0])
            loss = loss + ops.cast(weight, value.dtype) * value
        return loss

    @property
    def _accepts_rows(self):
        return all(head.accepts_rows for head in (self.head, *self.companions))

    # Companions are no part of a test.

    def test_step(self, *args):
        self._testing = True
        try:
            return super().test_step(*args)
        finally:
            self._testing = False

    def get_metrics_result(self):
        results = super().get_metrics_result()
        if self._testing:
            for tracker in self._companion_losses:
                results.pop(tracker.name, None)
        return results

    def get_config(self):
        return {
            **super().get_config(),
            "backbone": keras.saving.serialize_keras_object(self.deep_backbone),
            "companions": [keras.saving.serialize_keras_object(c) for c in self.companions],
            "companion_weight": self.companion_weight,
            "fade_steps": self.fade_steps,
        }

    @classmethod
    def from_config(cls, config):
        companions = [keras.saving.deserialize_keras_object(c) for c in config["companions"]]
        return super().from_config({**config, "companions": companions})


class _Pending:
    """What the companions gave in a step, by the output that it belongs to.

    The replicas of a strategy wait here side by side. No list of the model itself, which Keras
    would track. A loop of one's own never takes what is here: a few are kept, not all.
    """

    _most = 64

    def __init__(self):
        self._entries = []

    def put(self, output, value):
        self._entries = [*self._entries[-self._most :], (output, value)]

    def take(self, output):
        for entry in self._entries:
            if entry[0] is output:
                self._entries = [other for other in self._entries if other is not entry]
                return entry[1]
        raise ValueError(
            "The companions' losses belong to the output of the same step's call in training. "
            "Received: another output"
        )


def _check_companions(companions, head, count):
    if len(companions) != count:
        raise ValueError(
            f"There must be a companion for each of the {count} outputs before the embedding. "
            f"Received: {len(companions)} companions"
        )
    for companion in companions:
        if not (isinstance(companion, keras.Layer) and hasattr(companion, "is_plain_softmax")):
            raise TypeError(
                "`companions` must be heads of this package, such as VirtualSoftmax(units). "
                f"Received: {companion!r}"
            )
        if companion.units != head.units or companion.gives_two_columns:
            raise ValueError(
                f"Companions must have the head's units={head.units}, no block_size, and no "
                f"class_sampling. Received: units={companion.units}, "
                f"block_size={companion.block_size}, class_sampling={companion.class_sampling}"
            )
