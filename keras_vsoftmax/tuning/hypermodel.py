"""The space of models: a backbone, one of the heads with its own knobs, and how it is trained."""

import collections
import hashlib

import keras
import numpy as np
from keras import ops

from keras_vsoftmax import heads as head_lib
from keras_vsoftmax import labels as label_lib
from keras_vsoftmax.callbacks.base import EmbeddingMetrics
from keras_vsoftmax.callbacks.directions import direction
from keras_vsoftmax.models.classifier import Classifier
from keras_vsoftmax.models.copying import whole_copy
from keras_vsoftmax.tuning import keras_tuner_gaps
from keras_vsoftmax.tuning import ranges as range_lib
from keras_vsoftmax.utils.extras import require

keras_tuner = require("keras_tuner", extra="tuner", feature="keras_vsoftmax.tuning")
FailedTrialError = keras_tuner.errors.FailedTrialError
FatalValueError = keras_tuner.errors.FatalValueError


class HeadHyperModel(keras_tuner.HyperModel):
    """The search space for Keras Tuner: which head, with which knobs, trained how.

    | hyperparameter | default range | where |
    |---|---|---|
    | `head` | all of `keras_vsoftmax.heads.NAMES` | always |
    | `HEAD_KNOB`, as `arcface_margin` | see `ranges.KNOBS` | in the trials of that head only |
    | `embedding` | [64, 128, 256] | a `Dense` layer between backbone and head |
    | `learning_rate` | (1e-4, 1e-2) | the optimizer |
    | `weight_decay` | (1e-5, 1e-2) | the optimizer; not on biases, norms and PReLU slopes |
    | `batch_size` | [64, 128, 256] | `fit` |

    The trials of a head hold its own knobs and no other's.

    Args:
        backbone: A Keras model or layer that gives features (..., d), or a function of the
            hyperparameters that returns one. Of a model every trial trains a copy with all that
            Keras saves of it, from its weights to the statistics of a `Normalization`; a
            function gives every trial weights of its own, and may vary the architecture: it is
            called with the `HyperParameters` after those of the table were set, so that
            `hp["head"]` can be read, and others declared.
        classes: Integer, at least 2. Number of classes.
        heads: Identifiers of the heads that are searched; all by default.
        optimizer: An optimizer class, or a function that returns an optimizer, with the
            keyword arguments `learning_rate` and `weight_decay`.
        head_arguments: A function of the hyperparameters that returns a dict of further arguments
            for whichever head, such as
            `lambda hp: {"kernel_regularizer": keras.regularizers.L2(hp["weight_decay"])}`.
        seed: Integer. With it, the scores of a trial depend on the seed and on the trial's
            hyperparameters alone, and not on the trials before it: a search can be repeated,
            and resumed, and gives the same scores where the operations are deterministic.
            Executions of one trial have seeds of their own.
        **ranges: Other ranges, by the name of the hyperparameter. A tuple `(low, high)` is a
            range, a list `[a, b, c]` a choice, a number fixes the value, and None leaves it out
            of the search: no `Dense` layer, the optimizer's own value, the batches of the data
            set, the head's default. Any numeric argument of a head can be searched by
            naming it, as in `virtual_label_smoothing=(0.0, 0.2)`.

    Raises:
        ValueError: For an unknown head or hyperparameter, an empty range, and a range that the
            head refuses.

    A trial that fails because the loss is not finite, or because the backbone refuses its
    hyperparameters with a ValueError, is recorded as failed, and the search goes on.

    Example:

    >>> import keras
    >>> from keras_vsoftmax import tuning
    >>> backbone = keras.Sequential([keras.Input((64,)), keras.layers.Dense(32, "relu")])
    >>> space = tuning.HeadHyperModel(
    ...     backbone, 10, heads=["virtual", "arcface"], arcface_margin=(0.2, 0.6), batch_size=128
    ... )
    """

    def __init__(
        self,
        backbone,
        classes,
        *,
        heads=None,
        optimizer=keras.optimizers.AdamW,
        head_arguments=None,
        seed=None,
        **ranges,
    ):
        super().__init__()
        if not (isinstance(backbone, keras.Layer) or callable(backbone)):
            raise TypeError(
                "`backbone` must be a Keras model or layer that gives features, or a function of "
                f"the hyperparameters that returns one. Received: backbone={backbone!r}"
            )
        if not callable(optimizer):
            raise TypeError(
                "`optimizer` must be an optimizer class, or a function that returns an optimizer, "
                "since every trial has one of its own: keras.optimizers.AdamW. "
                f"Received: optimizer={optimizer!r}"
            )
        self.backbone = backbone
        self.classes = classes
        self.heads = _check_heads(heads, classes)
        self.optimizer = optimizer
        self.head_arguments = head_arguments
        if seed is not None and (not isinstance(seed, int) or seed < 0):
            raise ValueError(f"`seed` must be an integer of at least 0. Received: seed={seed!r}")
        self.seed = seed
        self._training, self._knobs = range_lib.resolve(classes, self.heads, ranges)
        self._executions = collections.Counter()

    def build(self, hp):
        """A compiled `Classifier` with the hyperparameters of a trial."""
        if self.seed is not None:
            keras.utils.set_random_seed(self._trial_seed(hp))
        head, knobs = self._declare_head(hp)
        training = {
            name: range_lib.declare(hp, name, name, values, range_lib.FIRST.get(name))
            for name, values in self._training.items()
        }
        if self.head_arguments is not None:
            knobs = {**self.head_arguments(hp), **knobs}
        try:
            backbone = self._make_backbone(hp)
            if "embedding" in training:
                backbone = _with_embedding(backbone, training["embedding"])
            model = Classifier(backbone, head_lib.get(head, self.classes, **knobs))
        except FatalValueError:
            raise
        except ValueError as error:
            raise FailedTrialError(
                f"No model can be built with the hyperparameters {hp.values}: {error}"
            ) from error
        arguments = {
            name: training[name] for name in ("learning_rate", "weight_decay") if name in training
        }
        optimizer = self.optimizer(**arguments)
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta", "alpha"])
        model.compile(optimizer, metrics=["accuracy"])
        if model.built:
            # Checkpoints hold the optimizer's state, which Keras loads into a built one only.
            model.optimizer.build(model.trainable_variables)
        return model

    def fit(self, hp, model, x=None, y=None, *, callbacks=(), **kwargs):
        """Trains the model of a trial; `tuner.search` hands its arguments over."""
        self._check_fit(y, callbacks, kwargs)
        self._executions[_key(hp)] += 1
        if "batch_size" in self._training:
            kwargs["batch_size"] = hp["batch_size"]
        try:
            history = model.fit(x, y, callbacks=callbacks, **kwargs)
        except FloatingPointError as error:
            raise FailedTrialError(str(error)) from error
        # A callback may have ended a divergence in its own way, and the last steps of an epoch may
        # ruin the weights without a trace in its training loss.
        for name, words in (("loss", "training"), ("val_loss", "validation")):
            losses = history.history.get(name, [])
            if not np.all(np.isfinite(losses)):
                raise FailedTrialError(f"The {words} loss is not finite. Received: {losses}")
        return history

    def begin_trial(self):
        """Forgets earlier trainings: what follows are the executions of a trial, from the first."""
        self._executions.clear()

    def check_objective(self, objective):
        """Refuses objectives that say nothing about which head is better.

        Args:
            objective: What Keras Tuner's `objective` argument takes.

        Raises:
            keras_tuner.errors.FatalValueError: For a loss as the objective across several heads.
        """
        for name in _objective_names(objective):
            is_loss = name == "loss" or name.endswith("_loss")
            if is_loss and len(self.heads) > 1:
                raise FatalValueError(
                    f"The objective {name!r} cannot compare heads: their logits have scales of "
                    "their own, and a margin or a virtual class makes the training loss larger "
                    "by design. Name a metric, such as 'val_accuracy', or search one head. "
                    f"Received: objective={name!r} with heads={self.heads}"
                )

    def _check_labels(self, y, validation_data):
        """End the search, before its first training, where no trial could train on the labels."""
        given = [y]
        if isinstance(validation_data, (tuple, list)):
            given += validation_data[1:2]
        for labels in given:
            if isinstance(labels, np.ndarray) or ops.is_tensor(labels):
                try:
                    label_lib.check_array(labels, self.classes)
                except ValueError as error:
                    raise FatalValueError(str(error)) from error

    def _check_fit(self, y, callbacks, arguments):
        self._check_labels(y, arguments.get("validation_data"))
        # Keras Tuner hands its objective over in the callback that saves the best epoch.
        objectives = [item.objective for item in callbacks if hasattr(item, "objective")]
        for objective in objectives:
            self.check_objective(objective)
            names = _objective_names(objective)
            no_data = arguments.get("validation_data") is None
            if no_data and not arguments.get("validation_split") and _need_validation(names):
                raise FatalValueError(
                    "The objective needs validation: pass validation_split or validation_data "
                    f"to search. Received: objective={', '.join(names)}"
                )
            rare = [c for c in callbacks if isinstance(c, EmbeddingMetrics) and c.every > 1]
            if rare and any(direction(name) for name in names):
                raise FatalValueError(
                    "Keras Tuner looks for its objective after every epoch: construct the callback "
                    f"that measures it with every=1. Received: objective={', '.join(names)} with "
                    f"every={rare[0].every} of {type(rare[0]).__name__}"
                )
        if "batch_size" in self._training and (y is None or "batch_size" in arguments):
            reason = "y is None: the data set makes its own batches"
            raise FatalValueError(
                "`batch_size` is a hyperparameter of this search. Construct HeadHyperModel with "
                "batch_size=None to leave the batches to the data set or to search(batch_size=). "
                f"Received: {'batch_size' if y is not None else reason}"
            )

    def _declare_head(self, hp):
        head = hp.Choice("head", list(self.heads))
        if head not in self.heads:  # the value of an earlier search that was gone on with
            raise FatalValueError(
                "The trial is of a search over other heads. Search with the same heads, or begin "
                f"anew with overwrite=True. Received: head={head!r} with heads={self.heads}"
            )
        chosen = {}
        with keras_tuner_gaps.all_is_declared(hp):
            for name, knobs in self._knobs.items():
                if knobs:
                    chosen |= self._declare_knobs(hp, name, knobs, name == head)
        return head, chosen

    def _declare_knobs(self, hp, name, knobs, is_chosen):
        values = {}
        with hp.conditional_scope("head", [name]):
            for knob, given in knobs.items():
                default = range_lib.head_default(name, self.classes, knob)
                values[knob] = range_lib.declare(hp, f"{name}_{knob}", knob, given, default)
        return values if is_chosen else {}

    def _make_backbone(self, hp):
        if not isinstance(self.backbone, keras.Layer):
            return self.backbone(hp)
        try:
            return whole_copy(self.backbone)
        except Exception as error:
            raise FatalValueError(
                "Each trial trains a copy of the backbone, which Keras must be able to save and "
                "to load: give the class a get_config, or pass a function of the "
                f"hyperparameters that makes one. Received: backbone={self.backbone!r} ({error})"
            ) from error

    def _trial_seed(self, hp):
        key = _key(hp)
        text = f"{self.seed} {self._executions[key]} {key}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def _check_heads(heads, classes):
    heads = head_lib.NAMES if heads is None else heads
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    if not heads or len(set(heads)) < len(heads):
        raise ValueError(f"`heads` must name at least one head, each once. Received: heads={heads}")
    for name in heads:
        head_lib.get(name, classes)
    return heads


def _with_embedding(backbone, width):
    embedding = keras.layers.Dense(width)
    inputs = getattr(backbone, "input", None)  # no attribute, or None, where it is not known
    if inputs is None:
        return keras.Sequential([backbone, embedding])
    inputs = keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name), inputs
    )
    return keras.Model(inputs, embedding(backbone(inputs)))


def _objective_names(objective):
    if isinstance(objective, (list, tuple)):
        return [name for item in objective for name in _objective_names(item)]
    if hasattr(objective, "objectives"):
        return _objective_names(objective.objectives)
    return [getattr(objective, "name", objective)]


def _need_validation(names):
    # The figures of this package's callbacks are measured on data of their own.
    return any(name.startswith("val_") and direction(name) is None for name in names)


def _key(hp):
    # str and not repr: a value may be a NumPy float before it was saved, and a float after.
    return " ".join(f"{name}={value}" for name, value in sorted(hp.values.items()))
