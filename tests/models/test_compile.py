"""What Classifier takes to be made and compiled, and what it refuses."""

import keras
import numpy as np
import pytest

import keras_vsoftmax
from tests import tiny

pytestmark = pytest.mark.core

stock = keras.losses


def renormalising(y_true, y_pred):
    return stock.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)


STOCK = {
    "object": lambda: stock.SparseCategoricalCrossentropy(from_logits=True),
    "object for rows": lambda: stock.CategoricalCrossentropy(from_logits=True),
    "string": lambda: "sparse_categorical_crossentropy",
    "function": lambda: stock.sparse_categorical_crossentropy,
    "lambda": lambda: lambda t, p: renormalising(t, keras.ops.softmax(p)),
    "list": lambda: [keras_vsoftmax.VirtualSoftmaxLoss()],
    "class": lambda: keras_vsoftmax.VirtualSoftmaxLoss,
}


@pytest.mark.parametrize("kind", STOCK)
@pytest.mark.parametrize("head", ["virtual", "arcface"])
def test_another_loss_is_refused_with_the_reason(head, kind):
    with pytest.raises(ValueError, match=r"VirtualSoftmaxLoss.*normalises.*Received: loss="):
        tiny.classifier(head, loss=STOCK[kind]())


class Halved(keras_vsoftmax.VirtualSoftmaxLoss):
    def call(self, y_true, y_pred):
        return super().call(y_true, y_pred) / 2


def test_the_loss_and_its_subclasses_are_taken():
    x, y = tiny.data()
    default = tiny.classifier().evaluate(x, y, verbose=0)
    halved = tiny.classifier(loss=Halved()).evaluate(x, y, verbose=0)
    assert halved == pytest.approx(default / 2)


def test_the_plain_softmax_head_takes_stock_losses_on_logits():
    x, y = tiny.data()
    model = tiny.classifier("softmax")
    expected = model.evaluate(x, y, verbose=0)
    for loss, labels in ((STOCK["object"](), y), (STOCK["object for rows"](), np.eye(3)[y])):
        model = tiny.classifier("softmax", loss=loss)
        assert model.evaluate(x, labels, verbose=0) == pytest.approx(expected, rel=1e-5)
        assert np.isfinite(model.fit(x, labels, verbose=0).history["loss"][0])
    for kind in ("string", "function", "lambda"):
        with pytest.raises(ValueError, match=r"from_logits=True. Received: loss="):
            tiny.classifier("softmax", loss=STOCK[kind]())
    with pytest.raises(ValueError, match=r"normalises"):
        tiny.classifier("softmax", head_arguments={"label_smoothing": 0.1}, loss=loss)


def test_a_backbone_and_a_head_are_needed():
    head = keras_vsoftmax.VirtualSoftmax(3)
    with pytest.raises(TypeError, match=r"Received: backbone=<function"):
        keras_vsoftmax.Classifier(tiny.backbone, head)
    with pytest.raises(TypeError, match=r"Received: head=<Dense"):
        keras_vsoftmax.Classifier(tiny.backbone(), keras.layers.Dense(3))


@pytest.mark.parametrize("units", [1, 0, -3, 2.5, "10", None, True])
def test_units(units):
    with pytest.raises(ValueError, match=rf"at least 2.*Received: units={units!r}"):
        keras_vsoftmax.VirtualSoftmax(units)


@pytest.mark.parametrize("shape", [(4,), (2, None), ()])
def test_features_without_a_last_dimension(shape):
    features = keras.KerasTensor(shape)
    with pytest.raises(ValueError, match=r"known last dimension. Received: inputs.shape=\("):
        keras_vsoftmax.VirtualSoftmax(3)(features)


# Keras's own, before the error; the words differ with the backend.
@pytest.mark.filterwarnings("ignore:.*classifier.*:UserWarning")
def test_a_backbone_without_a_last_dimension():
    backbone = keras.Sequential([keras.Input(()), keras.layers.Activation("relu")])
    with pytest.raises(ValueError, match=r"known last dimension. Received: inputs.shape=\("):
        keras_vsoftmax.Classifier(backbone, keras_vsoftmax.VirtualSoftmax(3))


@pytest.mark.parametrize("head", ["softmax", "virtual", "arcface"])
def test_the_optimizer_is_the_one_that_was_passed(head):
    for optimizer in ("adam", keras.optimizers.SGD(0.5)):
        expected = keras.optimizers.get(optimizer)
        model = keras_vsoftmax.Classifier(tiny.backbone(), keras_vsoftmax.heads.get(head, 3))
        model.compile(optimizer, metrics=["accuracy"])
        assert model.optimizer.get_config() == {
            **expected.get_config(),
            "name": model.optimizer.name,
        }
        assert type(model.optimizer).__name__ == type(expected).__name__
        if not isinstance(optimizer, str):
            assert model.optimizer is optimizer
