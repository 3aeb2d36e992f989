"""From models: what is embedded is the backbone, whole and in inference."""

import keras
import numpy as np
import pytest

from keras_vsoftmax.retrieval import embed, evaluate, retrieval_metrics
from tests import tiny

pytestmark = pytest.mark.core


def test_a_classifier_is_embedded_by_its_backbone():
    model, (x, y) = tiny.classifier(), tiny.data()
    expected = model.embed(x, verbose=0)
    np.testing.assert_allclose(embed(model, x, batch_size=5), expected, atol=1e-6)
    np.testing.assert_allclose(embed(model.backbone, x), expected, atol=1e-6)
    result = evaluate(model, x, y, gallery=(x[:9], y[:9]))
    assert result.to_dict() == retrieval_metrics(expected, y, expected[:9], y[:9]).to_dict()
    assert evaluate(model, x, y).queries == len(x)


def test_inputs_in_a_dict_and_no_dropout():
    inputs = {name: keras.Input((3,), name=name) for name in ("a", "b")}
    features = keras.layers.Dropout(0.5)(keras.layers.concatenate(list(inputs.values())))
    x = {"a": np.ones((4, 3), "float32"), "b": np.zeros((4, 3), "float32")}
    np.testing.assert_array_equal(
        embed(keras.Model(inputs, features), x), np.repeat([[1, 1, 1, 0, 0, 0]], 4, axis=0)
    )


def test_half_precision():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype="mixed_bfloat16")])
    assert embed(model, np.ones((4, 3), "float32")).dtype == np.float32


def test_what_is_no_embedding_is_refused():
    image = keras.Input((2, 2))
    with pytest.raises(ValueError, match=r"Received: .* output of shape \(3, 2, 2\)"):
        embed(keras.Model(image, keras.layers.ReLU()(image)), np.ones((3, 2, 2)))


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match=r"a Keras model or layer .* Received: model='m.keras'"):
        embed("m.keras", np.ones((3, 2)))


@pytest.mark.parametrize("x", [np.zeros((0, 3)), {"a": np.zeros((0, 3))}])
def test_nothing_to_embed(x):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="at least one input"):
        embed(model, x)


def test_a_gallery_is_images_and_labels():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    x = np.ones((4, 3))
    with pytest.raises(ValueError, match=r"`gallery` must be \(x, y\).* Received: ndarray"):
        evaluate(model, x, [0, 0, 1, 1], gallery=x)
