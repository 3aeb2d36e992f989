"""How the labels of a step reach the call of the model, beside the user's own x."""

import contextlib

import keras


class LabelRouting:
    """Mixin for a `keras.Model` whose `call(inputs, labels, training)` needs labels in training.

    The steps of Keras call the model with x alone. Here the labels wait beside that x, and join
    it when the model is called with it, so that every public hook sees x as the user gave it.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self._waiting = _Waiting()

    def __call__(self, inputs, labels=None, **kwargs):
        return super().__call__(inputs, **self._with_labels(inputs, labels, kwargs))

    def stateless_call(
        self, trainable_variables, non_trainable_variables, inputs, labels=None, **kwargs
    ):
        kwargs = self._with_labels(inputs, labels, kwargs)
        return super().stateless_call(
            trainable_variables, non_trainable_variables, inputs, **kwargs
        )

    def train_step(self, *args):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(args[-1])
        require_labels(y)
        with self._waiting.labels(x, y, training=True):
            return super().train_step(*args)

    def test_step(self, *args):
        x, y, _ = keras.utils.unpack_x_y_sample_weight(args[-1])
        require_labels(y)
        with self._waiting.labels(x, y, training=False):
            return super().test_step(*args)

    def _with_labels(self, inputs, labels, kwargs):
        if labels is None:
            labels = self._waiting.for_call(inputs, bool(kwargs.get("training")))
        return kwargs if labels is None else {"labels": labels, **kwargs}


class _Waiting:
    """Labels by the x that they belong to: the replicas of a step wait here side by side."""

    def __init__(self):
        self._steps = []

    @contextlib.contextmanager
    def labels(self, x, y, training):
        step = (x, y, training)
        self._steps.append(step)
        try:
            yield
        finally:
            self._steps = [other for other in self._steps if other is not step]

    def for_call(self, inputs, training):
        for x, y, in_training in self._steps:
            if training == in_training and _are_the_same(x, inputs):
                return y
        return None


def _are_the_same(x, inputs):
    if x is inputs:
        return True
    one, other = keras.tree.flatten(x), keras.tree.flatten(inputs)
    return len(one) == len(other) and all(a is b for a, b in zip(one, other))


def require_labels(y):
    """Refuse to train or evaluate without labels, or with labels that are no single tensor."""
    if y is None:
        raise ValueError(
            "Classifier needs labels to train and to evaluate: fit(x, y), or a data set of (x, y) "
            "or (x, y, sample_weight). Received: no labels"
        )
    if isinstance(y, (dict, list, tuple)):
        raise ValueError(
            "Classifier takes the labels as one tensor, class ids or rows of probabilities. "
            f"Received: labels in {describe_structure(y)}"
        )


def describe_structure(value):
    """Name a dict by its keys and a list or tuple by its length, for the end of a message."""
    if isinstance(value, dict):
        return f"a dict with the keys {list(value)}"
    return f"a {'tuple' if isinstance(value, tuple) else 'list'} of {len(value)}"
