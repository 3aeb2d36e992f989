"""What the public hooks and names of `keras.Model` see of a Classifier: nothing private."""

import json
import zipfile

import keras
import numpy as np
import pytest

import keras_vsoftmax
from tests import tiny

pytestmark = pytest.mark.core


class Hooked(keras_vsoftmax.Classifier):
    """Keeps what each hook was given, and uses x in each."""

    seen = None

    def note(self, hook, x):
        self.seen = {**(self.seen or {}), hook: (type(x), keras.tree.map_structure(type, x))}
        return keras.ops.mean(keras.ops.square(keras.tree.flatten(x)[0]))

    def call(self, inputs, labels=None, training=None):
        self.note("call", inputs)
        return super().call(inputs, labels, training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        return loss + self.note("compute_loss", x)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        self.note("compute_metrics", x)
        return super().compute_metrics(x, y, y_pred, sample_weight)


def dict_backbone():
    inputs = {name: keras.Input((2,), name=name) for name in "ab"}
    features = keras.layers.Dense(4)(keras.layers.Concatenate()([inputs["a"], inputs["b"]]))
    return keras.Model(inputs, features)


@pytest.mark.parametrize("kind", ["tensor", "dict"])
@pytest.mark.parametrize("step", ["fit", "evaluate"])
@pytest.mark.parametrize("block_size", [None, 2])
def test_every_hook_sees_the_x_of_the_user(kind, step, block_size):
    x, y = tiny.data()
    given = {"a": x[:, :2], "b": x[:, 2:]} if kind == "dict" else x
    backbone = dict_backbone() if kind == "dict" else tiny.backbone()
    model = Hooked(backbone, keras_vsoftmax.VirtualSoftmax(3, block_size=block_size))
    model.compile(keras.optimizers.SGD(0.0), metrics=["accuracy"])
    model.seen = None  # what building it showed
    result = getattr(model, step)(given, y, batch_size=24, verbose=0)
    assert set(model.seen) == {"call", "compute_loss", "compute_metrics"}
    for kind_of_x, types in model.seen.values():
        assert issubclass(kind_of_x, dict) == (kind == "dict")
        leaves = keras.tree.flatten(types)
        assert len(leaves) == (2 if kind == "dict" else 1)
        assert not any(issubclass(leaf, tuple) for leaf in leaves)
    loss = result[0] if step == "evaluate" else result.history["loss"][0]
    plain = keras_vsoftmax.Classifier(model.backbone, model.head)
    plain.compile(keras.optimizers.SGD(0.0))
    result = getattr(plain, step)(given, y, batch_size=24, verbose=0)
    expected = result if step == "evaluate" else result.history["loss"][0]
    penalty = np.square(x[:, :2] if kind == "dict" else x).mean()
    assert loss == pytest.approx(expected + penalty, rel=1e-4)


@keras.saving.register_keras_serializable(package="keras_vsoftmax_tests")
class OwnBackbone(keras.Model):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = keras.layers.Dense(4, name="hidden")

    def call(self, inputs):
        return self.hidden(inputs)


def build_config(path):
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))["build_config"]


def test_the_saved_build_config_is_that_of_the_inputs(tmp_path):
    x, y = tiny.data()
    model = keras_vsoftmax.Classifier(OwnBackbone(), keras_vsoftmax.VirtualSoftmax(3))
    model.compile("adam")
    model.fit(x, y, batch_size=8, verbose=0)
    model.save(tmp_path / "model.keras")
    config = build_config(tmp_path / "model.keras")
    assert config["input_shape"][1:] == [tiny.DIM]
    assert config["input_dtypes"] == ["float32"]
    loaded = keras.saving.load_model(tmp_path / "model.keras")  # a warning would be an error
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_the_names_of_the_metrics_are_those_of_what_evaluate_returns():
    x, y = tiny.data()
    top2 = keras.metrics.SparseTopKCategoricalAccuracy(k=2, name="top2")
    for metrics in (None, ["accuracy"], ["accuracy", top2]):
        model = tiny.classifier(metrics=metrics)
        assert "invalid_labels" not in model.metrics_names
        for call in (model.fit, model.evaluate):
            call(x, y, verbose=0)
            results = np.atleast_1d(model.evaluate(x, y, verbose=0))
            by_name = model.evaluate(x, y, verbose=0, return_dict=True)
            assert dict(zip(model.metrics_names, results.tolist(), strict=True)) == by_name
    assert all(metric.name != "invalid_labels" for metric in model.metrics)


# A callback that handles divergence, whatever its class, gets the history.


class Finder(keras.callbacks.Callback):
    """As a learning-rate finder: raises the rate until the loss is no number."""

    def on_train_batch_end(self, batch, logs=None):
        if np.isfinite(logs["loss"]):
            self.model.optimizer.learning_rate.assign(1e30)
        else:
            self.model.stop_training = True


class StopsLate(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = not np.isfinite(logs["loss"])


@pytest.mark.parametrize("make", [keras.callbacks.TerminateOnNaN, Finder, StopsLate])
@pytest.mark.parametrize("listed", [True, False])
def test_a_divergence_that_a_callback_handled_returns_the_history(make, listed):
    x, y = tiny.data()
    model = tiny.classifier(optimizer=keras.optimizers.SGD(0.1 if make is Finder else 1e30))
    callbacks = [make()] if listed else make()
    history = model.fit(x, y, batch_size=8, epochs=5, callbacks=callbacks, verbose=0)
    assert not np.isfinite(history.history["loss"][-1])
    assert len(history.epoch) < 5


def test_a_callback_that_handles_divergence_excuses_no_bad_label():
    x, y = tiny.data()
    y[10] = 7
    with pytest.raises(ValueError, match=r"bad labels in epoch 1"):
        tiny.classifier().fit(
            tiny.Batches(x, y), callbacks=[keras.callbacks.TerminateOnNaN()], verbose=0
        )


def test_a_callback_that_looks_on_excuses_no_divergence():
    x, y = tiny.data()
    model = tiny.classifier(optimizer=keras.optimizers.SGD(1e30))
    with pytest.raises(FloatingPointError, match=r"every label was valid"):
        model.fit(x, y, batch_size=8, callbacks=[keras.callbacks.Callback()], verbose=0)


# One tensor of features, one tensor of labels.


def several_outputs(kind):
    image = keras.Input((tiny.DIM,))
    a, b = keras.layers.Dense(4)(image), keras.layers.Dense(4)(image)
    return keras.Model(image, {"a": a, "b": b} if kind is dict else [a, b])


class Several(keras.Model):
    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.hidden = keras.layers.Dense(4)

    def call(self, inputs):
        features = self.hidden(inputs)
        return {"a": features} if self.kind is dict else [features, features]


@pytest.mark.parametrize("kind", [dict, list])
@pytest.mark.parametrize("make", [several_outputs, Several])
def test_a_backbone_with_several_outputs_is_told_what_a_head_needs(kind, make):
    x, y = tiny.data(8)
    received = "a dict with the keys" if kind is dict else "a list of 2"

    def train():
        model = keras_vsoftmax.Classifier(make(kind), keras_vsoftmax.VirtualSoftmax(3))
        model.compile("sgd")
        model.fit(x, y, verbose=0)

    with pytest.raises(ValueError, match=f"features as one tensor.*Received: .*{received}"):
        train()


@pytest.mark.parametrize("call", ["fit", "evaluate"])
@pytest.mark.parametrize("kind", ["array", "stream"])
def test_labels_in_a_dict(call, kind):
    x, y = tiny.data(8)
    model = tiny.classifier()
    data = (x, {"label": y}) if kind == "array" else (DictBatches(x, y),)
    with pytest.raises(ValueError, match=r"labels as one tensor.*a dict with the keys \['label'\]"):
        getattr(model, call)(*data, verbose=0)
    model.fit(x, y, verbose=0)


class DictBatches(tiny.Batches):
    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x, {"label": y}
