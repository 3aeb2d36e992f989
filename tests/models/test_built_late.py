"""Models whose input is not known from the start, and models for use that are made once."""

import gc

import keras
import numpy as np
import pytest

import keras_vsoftmax
from keras_vsoftmax.models import serving
from tests import tiny

pytestmark = pytest.mark.core


class Own(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(4)

    def call(self, inputs):
        inputs = inputs["a"] if isinstance(inputs, dict) else inputs
        return self.hidden(inputs)


BACKBONES = {
    "layer": lambda: keras.layers.Dense(4),
    "sequential": lambda: keras.Sequential([keras.layers.Dense(4)]),
    "subclass": Own,
}


def classifier(kind):
    model = keras_vsoftmax.Classifier(BACKBONES[kind](), keras_vsoftmax.VirtualSoftmax(3))
    model.compile("adam", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("kind", BACKBONES)
def test_weights_load_into_a_model_that_was_built_by_its_shape(kind, tmp_path):
    x, y = tiny.data()
    trained = classifier(kind)
    trained.fit(x, y, batch_size=8, verbose=0)
    trained.save_weights(tmp_path / "model.weights.h5")
    model = classifier(kind)
    model.build((None, tiny.DIM))
    model.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(model.predict(x, verbose=0), trained.predict(x, verbose=0))
    assert int(keras.ops.convert_to_numpy(model.optimizer.iterations)) == 3
    # With the optimizer's state: training goes on as if it had not stopped.
    histories = [m.fit(x, y, shuffle=False, verbose=0).history for m in (model, trained)]
    assert histories[0]["loss"] == pytest.approx(histories[1]["loss"], rel=1e-6)
    tiny.assert_same_weights(model, trained)


@pytest.mark.parametrize("kind", BACKBONES)
def test_a_build_config_builds(kind):
    """As Keras Tuner uses it for the best models of a search, through JSON."""
    x, y = tiny.data()
    trained = classifier(kind)
    trained.fit(x, y, batch_size=8, verbose=0)
    model = classifier(kind)
    model.build_from_config(trained.get_build_config())
    assert model.built
    model.set_weights(trained.get_weights())
    np.testing.assert_array_equal(model.predict(x, verbose=0), trained.predict(x, verbose=0))


def test_build_with_a_structure_of_shapes():
    model = classifier("subclass")
    model.build({"a": (None, tiny.DIM), "b": (None, 2)})
    assert [tuple(weight.shape) for weight in model.weights] == [(4, 4), (4,), (4, 3)]


def test_build_with_a_shape_that_does_not_fit():
    model = classifier("layer")
    with pytest.raises(ValueError):  # noqa: PT011 - the words are Keras's
        model.build((None,))
    model.build((None, tiny.DIM))
    assert len(model.weights) == 3


def test_tokens_build_a_model_with_their_own_dtype():
    seen = []

    class Table(keras.layers.Layer):
        def build(self, input_shape):
            self.table = self.add_weight(shape=(5, 4), name="table")

        def call(self, tokens):
            seen.append(keras.backend.standardize_dtype(tokens.dtype))
            return keras.ops.take(self.table, tokens, axis=0)

    model = keras_vsoftmax.Classifier(Table(), keras_vsoftmax.VirtualSoftmax(3))
    model.compile("sgd")
    model.fit(np.array([0, 1, 2, 3]), np.array([0, 1, 2, 0]), verbose=0)
    assert {dtype for dtype in seen if "float" in dtype} == set()


# Models for use: made once.


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("call", ["predict_classes", "embed"])
def test_a_second_call_makes_and_traces_nothing(kind, call, monkeypatch):
    traced, made = [], []

    class Traced(serving.Serving):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(args)

        def call(self, inputs):
            traced.append(inputs)
            return super().call(inputs)

    monkeypatch.setattr(serving, "Serving", Traced)
    x, y = tiny.data()
    model = classifier(kind)
    first = getattr(model, call)(x, verbose=0)
    calls = len(traced)
    assert len(made) == 1
    model.fit(x, y, verbose=0)
    second = getattr(model, call)(x, verbose=0)
    assert len(made) == 1
    if keras.backend.backend() == "torch":  # eager: it runs the code each time
        calls += 1
    assert len(traced) == calls
    # What was trained in between is seen.
    features = keras.ops.convert_to_numpy(model.backbone(x))
    if call == "embed":
        assert not np.array_equal(first, second)
        np.testing.assert_allclose(second, features, atol=1e-6)
    else:
        np.testing.assert_array_equal(second, model.predict(x, verbose=0).argmax(-1))


def test_models_do_not_pile_up():
    x, _ = tiny.data(4)
    model = classifier("layer")
    for call in (model.embed, model.predict_classes):
        call(x, verbose=0)
    gc.collect()
    before = sum(isinstance(item, keras.Model) for item in gc.get_objects())
    for call in (model.embed, model.predict_classes) * 3:
        call(x, verbose=0)
    gc.collect()
    assert sum(isinstance(item, keras.Model) for item in gc.get_objects()) == before


def test_the_models_for_use_are_no_part_of_the_model(tmp_path):
    x, y = tiny.data()
    model = classifier("sequential")
    model.fit(x, y, verbose=0)
    weights, layers = len(model.weights), len(model.layers)
    model.predict_classes(x, verbose=0)
    model.embed(x, verbose=0)
    assert (len(model.weights), len(model.layers)) == (weights, layers)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.embed(x, verbose=0), model.embed(x, verbose=0))


def test_another_backbone_or_head_or_compilation_is_seen():
    x, _ = tiny.data()
    model = classifier("layer")
    first = model.embed(x, verbose=0)
    model.backbone = keras.layers.Dense(6)
    assert first.shape[-1] == 4
    assert model.embed(x, verbose=0).shape[-1] == 6
    model.compile("sgd", run_eagerly=True)
    assert model.embed(x, verbose=0).shape[-1] == 6
