"""A Classifier says, once, when its virtual class leaves no gradient to the other classes."""

import warnings

import keras
import numpy as np
import pytest

import keras_vsoftmax

pytestmark = pytest.mark.core

CLASSES = 4


def data(scale):
    """Features without any order, of a length that `scale` sets, and their labels."""
    x = np.random.default_rng(0).normal(size=(64, 16)).astype("float32")
    return scale * x, np.arange(64) % CLASSES


def fit(scale, epochs=2, head="virtual", **knobs):
    x, y = data(scale)
    head = keras_vsoftmax.heads.get(head, CLASSES, **knobs)
    model = keras_vsoftmax.Classifier(keras.layers.Identity(), head)
    # So slowly that what the data set at the start is there at the end of the epoch.
    model.compile(keras.optimizers.SGD(1e-6))
    model.fit(x, y, batch_size=16, epochs=epochs, verbose=0, validation_data=(x, y))
    return model


def test_it_tells_once_what_it_measured_and_what_helps():
    with pytest.warns(UserWarning, match="the first epoch.*warmup_steps.*ReLU") as caught:
        model = fit(scale=10.0, epochs=3)
    told = [str(w.message) for w in caught if "virtual logit" in str(w.message)]
    assert len(told) == 1
    x, y = data(10.0)
    w = keras.ops.convert_to_numpy(model.head.kernel).astype("float64")
    # The last batch is drawn at random: all rows give its size.
    z = x @ w
    v = np.linalg.norm(x, axis=1) * np.linalg.norm(w, axis=0)[y]
    excess = np.logaddexp(0, v - np.logaddexp.reduce(z, axis=1))
    measured = float(told[0].split("stands ")[1].split(" above")[0])
    assert excess.min() <= measured <= excess.max()


@pytest.mark.parametrize(
    ("scale", "head", "knobs"),
    [
        (0.1, "virtual", {}),  # the virtual logit is small
        (10.0, "virtual", {"warmup_steps": 100}),  # it has not come in yet
        (10.0, "softmax", {}),
        (10.0, "arcface", {}),
    ],
)
def test_otherwise_it_is_silent(scale, head, knobs):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", category=UserWarning)
        fit(scale, head=head, **knobs)
