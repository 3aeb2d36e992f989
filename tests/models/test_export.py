"""Serving from images alone: SavedModel and ONNX."""

import sys

import keras
import numpy as np
import pytest

import keras_vsoftmax
from tests import tiny

pytestmark = pytest.mark.core

BACKEND = keras.backend.backend()
saved_model = pytest.mark.skipif(BACKEND == "torch", reason="no SavedModel from torch")
onnx = pytest.mark.skipif(BACKEND == "jax", reason="no ONNX from JAX")


@pytest.fixture
def trained():
    """Built through fit, so that Keras would record labels as a second input."""
    x, y = tiny.data()
    model = tiny.classifier()
    model.fit(x, y, epochs=3, verbose=0)
    return model


def expected(model, x, output):
    log_probs = model.predict(x, verbose=0)
    if output == "logits":
        return model.embed(x, verbose=0) @ keras.ops.convert_to_numpy(model.head.kernel)
    return np.exp(log_probs) if output == "probs" else log_probs


@saved_model
@pytest.mark.parametrize("output", ["log_probs", "probs", "logits"])
def test_saved_model_serves_images_alone(trained, tmp_path, output):
    tf = pytest.importorskip("tensorflow")
    trained.export(tmp_path / "served", output=output, verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    x, _ = tiny.data(5, seed=1)
    result = served.serve(x).numpy()
    np.testing.assert_allclose(result, expected(trained, x, output), atol=1e-5)


@onnx
@pytest.mark.parametrize("output", ["log_probs", "probs", "logits"])
def test_onnx_runtime_agrees(trained, tmp_path, output):
    runtime = pytest.importorskip("onnxruntime")
    path = tmp_path / "model.onnx"
    trained.export(path, format="onnx", output=output, verbose=False)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (only_input,) = session.get_inputs()
    x, _ = tiny.data(5, seed=1)
    (result,) = session.run(None, {only_input.name: x})
    np.testing.assert_allclose(result, expected(trained, x, output), atol=1e-5)


@saved_model
def test_export_of_a_backbone_with_a_dict(tmp_path):
    tf = pytest.importorskip("tensorflow")
    inputs = {"a": keras.Input((2,), name="a"), "b": keras.Input((2,), name="b")}
    features = keras.layers.Concatenate()([inputs["a"], inputs["b"]])
    model = keras_vsoftmax.Classifier(
        keras.Model(inputs, features), keras_vsoftmax.VirtualSoftmax(3)
    )
    model.export(tmp_path / "served", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "served"))
    x, _ = tiny.data(5)
    parts = {"a": x[:, :2], "b": x[:, 2:]}
    expected = model.predict(parts, verbose=0)
    np.testing.assert_allclose(served.serve(parts).numpy(), expected, atol=1e-5)


@saved_model
def test_export_of_a_backbone_whose_input_is_not_known(tmp_path):
    tf = pytest.importorskip("tensorflow")
    model = keras_vsoftmax.Classifier(keras.layers.Dense(4), keras_vsoftmax.VirtualSoftmax(3))
    with pytest.raises(ValueError, match=r"pass `input_signature`.*input_signature=None"):
        model.export(tmp_path / "served")
    signature = [keras.InputSpec(shape=(None, 4), dtype="float32")]
    model.export(tmp_path / "served", input_signature=signature, verbose=False)
    x, _ = tiny.data(5)
    served = tf.saved_model.load(str(tmp_path / "served"))
    np.testing.assert_allclose(served.serve(x).numpy(), model.predict(x, verbose=0), atol=1e-5)


def named_backbones():
    one = keras.Sequential([keras.Input((4,), name="image"), keras.layers.Dense(4)])
    a, b = keras.Input((2,), name="left"), keras.Input((2,), name="right")
    several = keras.Model([a, b], keras.layers.Concatenate()([a, b]))
    return {"one": (one, ["image"]), "several": (several, ["left", "right"])}


@saved_model
@pytest.mark.parametrize("kind", ["one", "several"])
def test_a_saved_model_keeps_the_names_of_the_inputs(kind, tmp_path):
    tf = pytest.importorskip("tensorflow")
    backbone, names = named_backbones()[kind]
    model = keras_vsoftmax.Classifier(backbone, keras_vsoftmax.VirtualSoftmax(3))
    model.export(tmp_path / "served", verbose=False)
    signature = tf.saved_model.load(str(tmp_path / "served")).signatures["serve"]
    assert sorted(signature.structured_input_signature[1]) == names
    x, _ = tiny.data(5)
    parts = [x] if kind == "one" else [x[:, :2], x[:, 2:]]
    (result,) = signature(**dict(zip(names, map(tf.constant, parts)))).values()
    expected = model.predict(parts if kind == "several" else x, verbose=0)
    np.testing.assert_allclose(result.numpy(), expected, atol=1e-5)


@onnx
@pytest.mark.parametrize("kind", ["one", "several"])
def test_onnx_keeps_the_names_of_the_inputs(kind, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    backbone, names = named_backbones()[kind]
    model = keras_vsoftmax.Classifier(backbone, keras_vsoftmax.VirtualSoftmax(3))
    path = tmp_path / "model.onnx"
    model.export(path, format="onnx", verbose=False)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [item.name for item in session.get_inputs()] == names
    x, _ = tiny.data(5)
    parts = [x] if kind == "one" else [x[:, :2], x[:, 2:]]
    (result,) = session.run(None, dict(zip(names, parts)))
    expected = model.predict(parts if kind == "several" else x, verbose=0)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_an_unknown_output(trained, tmp_path):
    with pytest.raises(ValueError, match=r"log_probs, probs, logits. Received: output='labels'"):
        trained.export(tmp_path / "served", output="labels")


def test_onnx_without_its_extra(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "keras_vsoftmax\[export\]"'):
        trained.export(tmp_path / "model.onnx", format="onnx")
