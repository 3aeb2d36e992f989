"""Classifier with backbones of every kind, and what embed gives for them."""

import keras
import numpy as np
import pytest

import keras_vsoftmax
from tests import tiny

pytestmark = pytest.mark.core


class OwnModel(keras.Model):
    """A subclass whose input is known only when it comes."""

    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(8, activation="tanh")

    def call(self, inputs):
        return self.hidden(inputs)


class OwnDictModel(OwnModel):
    def call(self, inputs):
        return self.hidden(keras.ops.concatenate([inputs["a"], inputs["b"]], axis=-1))


def two_inputs(kind):
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    features = keras.layers.Dense(8)(keras.layers.Concatenate()([a, b]))
    return keras.Model([a, b] if kind is list else {"a": a, "b": b}, features)


def one(x):
    return x


def as_list(x):
    return [x[:, :2], x[:, 2:]]


def as_dict(x):
    return {"a": x[:, :2], "b": x[:, 2:]}


BACKBONES = {
    "sequential": (tiny.backbone, one),
    "unbuilt sequential": (lambda: keras.Sequential([keras.layers.Dense(8)]), one),
    "list": (lambda: two_inputs(list), as_list),
    "dict": (lambda: two_inputs(dict), as_dict),
    "layer": (lambda: keras.layers.Dense(8), one),
    "subclass": (OwnModel, one),
    "subclass with a dict": (OwnDictModel, as_dict),
}


@pytest.mark.parametrize("kind", BACKBONES)
def test_backbones(kind):
    make, pack = BACKBONES[kind]
    x, y = tiny.data()
    packed = pack(x)
    model = keras_vsoftmax.Classifier(make(), keras_vsoftmax.VirtualSoftmax(3))
    model.compile(keras.optimizers.Adam(0.05), metrics=["accuracy"])
    history = model.fit(packed, y, epochs=15, batch_size=8, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    log_probs = model.predict(packed, verbose=0)
    assert log_probs.shape == (24, 3)
    assert model.evaluate(packed, y, verbose=0)[1] == (log_probs.argmax(-1) == y).mean()
    features = model.embed(packed, verbose=0)
    logits = features @ keras.ops.convert_to_numpy(model.head.kernel)
    expected = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    np.testing.assert_allclose(log_probs, expected, atol=1e-5)


def test_a_backbone_trains_in_training_mode_and_predicts_without():
    backbone = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5, seed=1)])
    model = keras_vsoftmax.Classifier(backbone, keras_vsoftmax.VirtualSoftmax(3))
    x = np.ones((6, 4), "float32")
    np.testing.assert_array_equal(model.embed(x, verbose=0), x)
    assert not np.array_equal(keras.ops.convert_to_numpy(backbone(x, training=True)), x)
    model.compile(keras.optimizers.SGD(0.0))
    loss = model.fit(x, np.zeros(6), verbose=0).history["loss"][0]
    rows = np.eye(3)[np.zeros(6, int)]
    kernel = keras.ops.convert_to_numpy(model.head.kernel)
    without = tiny.virtual_losses(x, kernel, rows).mean()
    assert abs(loss - without) > 1e-3


def test_embed_normalizes_and_leaves_zero_vectors():
    model = keras_vsoftmax.Classifier(
        keras.Sequential([keras.Input((4,)), keras.layers.ReLU()]),
        keras_vsoftmax.VirtualSoftmax(3),
    )
    x = np.array([[3, 4, 0, 0], [-1, -2, -3, -4], [0, 0, 0, 2]], "float32")
    expected = np.array([[0.6, 0.8, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]])
    features = model.embed(x, batch_size=2, verbose=0, normalize=True)
    np.testing.assert_allclose(features, expected, atol=1e-7)
    assert features.dtype == np.float32


def test_features_of_a_sequence_with_as_many_steps_as_classes():
    """Ids (batch, 3) of 3 classes: not to be taken for rows."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 3, 4)).astype("float32")
    y = rng.integers(0, 3, (8, 3))
    backbone = keras.Sequential([keras.Input((3, 4)), keras.layers.Dense(5)])
    for name in ("virtual", "arcface"):
        model = keras_vsoftmax.Classifier(backbone, keras_vsoftmax.heads.get(name, 3))
        model.compile("sgd", metrics=["accuracy"])
        model.fit(x, y, verbose=0)
        assert model.predict(x, verbose=0).shape == (8, 3, 3)
        assert model.embed(x, verbose=0).shape == (8, 3, 5)
        loss, _ = model.evaluate(x, y, verbose=0)
        log_probs = model.predict(x, verbose=0)
        assert loss == pytest.approx(-np.take_along_axis(log_probs, y[..., None], -1).mean(), 1e-5)


def test_a_mask_of_the_backbone_leaves_padding_out_of_the_loss():
    tokens = np.array([[1, 2, 0, 0], [3, 1, 2, 0]])
    y = np.array([[0, 1, 0, 0], [2, 1, 0, 0]])
    backbone = keras.Sequential([keras.Input((4,)), keras.layers.Embedding(4, 5, mask_zero=True)])
    model = keras_vsoftmax.Classifier(backbone, keras_vsoftmax.VirtualSoftmax(3))
    model.compile(keras.optimizers.SGD(0.0))
    loss = model.fit(tokens, y, verbose=0).history["loss"][0]
    kernel = keras.ops.convert_to_numpy(model.head.kernel)
    features = model.embed(tokens, verbose=0)
    losses = tiny.virtual_losses(features, kernel, np.eye(3)[y])
    assert loss == pytest.approx(losses[tokens != 0].mean(), rel=1e-5)


@pytest.mark.parametrize("scale", [1e-24, 1e25])
def test_embed_normalizes_whatever_the_length(scale):
    backbone = keras.Sequential([keras.Input((tiny.DIM,)), keras.layers.Rescaling(scale)])
    model = keras_vsoftmax.Classifier(backbone, keras_vsoftmax.VirtualSoftmax(tiny.UNITS))
    x, _ = tiny.data()
    expected = x / np.linalg.norm(x.astype("float64"), axis=1, keepdims=True)
    found = model.embed(x, verbose=0, normalize=True)
    np.testing.assert_allclose(found, expected, atol=1e-6)
