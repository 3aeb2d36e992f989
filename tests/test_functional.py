"""The functional API: heads as layers with an explicit label input."""

import keras
import numpy as np
import pytest

import keras_vsoftmax
from tests import tiny
from tests.backends import KERAS

pytestmark = pytest.mark.core

Loss = keras_vsoftmax.VirtualSoftmaxLoss
stock = keras.losses


def functional(label_shape=(), label_dtype="int32", head=None, optional=False):
    image = keras.Input((tiny.DIM,), name="image")
    label = keras.Input(label_shape, dtype=label_dtype, name="label", optional=optional)
    features = tiny.backbone()(image)
    init = keras.initializers.GlorotUniform(seed=7)
    head = head or keras_vsoftmax.VirtualSoftmax(3, kernel_initializer=init)
    return keras.Model([image, label], head(features, label)), image, features, head


def test_it_trains_as_a_classifier_does():
    x, y = tiny.data()
    model, image, features, head = functional()
    model.compile(keras.optimizers.SGD(0.1), Loss(), metrics=["accuracy"])
    how = {"epochs": 2, "batch_size": 8, "shuffle": False, "verbose": 0}
    history = model.fit([x, y], y, **how).history
    expected = tiny.classifier(metrics=["accuracy"])
    expected_history = expected.fit(x, y, **how).history
    assert history["loss"] == pytest.approx(expected_history["loss"], rel=1e-5)
    assert history["accuracy"] == expected_history["accuracy"]
    # The same layers predict from images alone.
    serving = keras.Model(image, head(features))
    predicted = expected.predict(x, verbose=0)
    np.testing.assert_allclose(serving.predict(x, verbose=0), predicted, atol=1e-5)


@pytest.mark.skipif(KERAS < (3, 12), reason="Keras takes None in the place of an array from 3.12")
def test_an_optional_label_input_predicts_without_labels():
    x, y = tiny.data()
    model, *_ = functional(optional=True)
    given = model.predict([x, y], verbose=0)
    np.testing.assert_array_equal(model.predict([x, None], verbose=0), given)
    by_name = model.predict({"image": x, "label": None}, verbose=0)
    np.testing.assert_array_equal(by_name, given)


def test_save_and_load(tmp_path):
    x, y = tiny.data()
    model, *_ = functional()
    model.compile("adam", Loss(), metrics=["accuracy"])
    model.fit([x, y], y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    how = {"shuffle": False, "verbose": 0}
    histories = [m.fit([x, y], y, **how).history for m in (model, loaded)]
    assert histories[0]["loss"] == pytest.approx(histories[1]["loss"], rel=1e-6)


def two_heads():
    """A virtual and a margin head over the same features, each with its own labels."""
    image = keras.Input((tiny.DIM,), name="image")
    coarse = keras.Input((), dtype="int32", name="coarse")
    fine = keras.Input((), dtype="int32", name="fine")
    features = tiny.backbone()(image)
    outputs = {
        "coarse_out": keras_vsoftmax.VirtualSoftmax(2, name="coarse_out")(features, coarse),
        "fine_out": keras_vsoftmax.heads.CosFace(3, name="fine_out")(features, fine),
    }
    return keras.Model({"image": image, "coarse": coarse, "fine": fine}, outputs)


def test_two_heads_with_their_labels_losses_and_weights():
    x, fine = tiny.data()
    coarse = (fine > 0).astype("int32")
    model = two_heads()
    model.compile(
        keras.optimizers.SGD(0.0),
        loss={"coarse_out": Loss(), "fine_out": Loss()},
        loss_weights={"coarse_out": 0.25, "fine_out": 2.0},
        metrics={"coarse_out": ["accuracy"], "fine_out": ["accuracy"]},
    )
    inputs = {"image": x, "coarse": coarse, "fine": fine}
    targets = {"coarse_out": coarse, "fine_out": fine}
    history = model.fit(inputs, targets, batch_size=24, verbose=0).history
    output = {
        name: keras.ops.convert_to_numpy(value)
        for name, value in model(inputs, training=True).items()
    }
    losses = {name: -output[name][np.arange(24), y] for name, y in targets.items()}
    for name, loss in losses.items():
        assert history[f"{name}_loss"][0] == pytest.approx(loss.mean(), rel=1e-5)
        right = output[name].argmax(-1) == targets[name]
        assert history[f"{name}_accuracy"][0] == pytest.approx(right.mean())
    total = 0.25 * losses["coarse_out"].mean() + 2 * losses["fine_out"].mean()
    assert history["loss"][0] == pytest.approx(total, rel=1e-5)

    # Keras takes class weights for models of one output only; weights of samples say the same.
    by_class = np.array([1.0, 0.0, 3.0])
    with pytest.raises(ValueError, match="single output"):
        model.fit(inputs, targets, class_weight={0: 1.0, 1: 0.0, 2: 3.0}, verbose=0)
    weight = {"coarse_out": np.ones(24), "fine_out": by_class[fine]}
    history = model.fit(inputs, targets, sample_weight=weight, batch_size=24, verbose=0).history
    weighted = (by_class[fine] * losses["fine_out"]).mean()
    assert history["fine_out_loss"][0] == pytest.approx(weighted, rel=1e-5)
    assert history["coarse_out_loss"][0] == pytest.approx(losses["coarse_out"].mean(), rel=1e-5)


def test_class_weights_of_one_head():
    x, y = tiny.data()
    model, *_ = functional()
    model.compile(keras.optimizers.SGD(0.0), Loss())
    by_class = {0: 1.0, 1: 0.0, 2: 3.0}
    loss = model.fit([x, y], y, class_weight=by_class, verbose=0).history["loss"][0]
    output = keras.ops.convert_to_numpy(model([x, y], training=True))
    weight = np.array([by_class[label] for label in y])
    expected = (-output[np.arange(24), y] * weight).mean()
    assert loss == pytest.approx(expected, rel=1e-5)


# The guard: a loss that normalises the row again does not train on without a word.


def renormalising(y_true, y_pred):
    return stock.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)


STOCK_FOR_IDS = {
    "logits": lambda: stock.SparseCategoricalCrossentropy(from_logits=True),
    "function": lambda: renormalising,
    "lambda": lambda: lambda t, p: stock.sparse_categorical_crossentropy(t, keras.ops.softmax(p)),
    "string": lambda: "sparse_categorical_crossentropy",
    "object": lambda: stock.SparseCategoricalCrossentropy(),
}
STOCK_FOR_ROWS = {
    "logits": lambda: stock.CategoricalCrossentropy(from_logits=True),
    "smoothed logits": lambda: stock.CategoricalCrossentropy(True, label_smoothing=0.1),
    "exp": lambda: lambda t, p: stock.categorical_crossentropy(t, keras.ops.exp(p)),
    "string": lambda: "categorical_crossentropy",
    "function": lambda: stock.categorical_crossentropy,
}


# Keras on TensorFlow also warns that log-probabilities are no logits.
@pytest.mark.filterwarnings("ignore:.*received `from_logits=True`")
@pytest.mark.parametrize("loss", STOCK_FOR_IDS)
def test_a_stock_loss_for_ids_is_nan_in_the_first_epoch(loss):
    x, y = tiny.data()
    model, *_ = functional()
    model.compile(keras.optimizers.SGD(0.1), STOCK_FOR_IDS[loss]())
    history = model.fit([x, y], y, batch_size=4, verbose=0).history
    assert np.isnan(history["loss"][0])


# Keras on TensorFlow also warns that log-probabilities are no logits.
@pytest.mark.filterwarnings("ignore:.*received `from_logits=True`")
@pytest.mark.parametrize("loss", STOCK_FOR_ROWS)
def test_a_stock_loss_for_rows_is_nan_in_the_first_epoch(loss):
    x, y = tiny.data()
    rows = tiny.mixup_rows(y)
    model, *_ = functional((3,), "float32")
    model.compile(keras.optimizers.SGD(0.1), STOCK_FOR_ROWS[loss]())
    history = model.fit([x, rows], rows, batch_size=4, verbose=0).history
    assert np.isnan(history["loss"][0])


def test_the_matching_loss_never_trips_the_guard():
    """Zero weights, ignored rows, loss scaling, soft rows with smoothing."""
    x, y = tiny.data()
    some = np.where(y == 0, -1, y)
    keras.config.set_dtype_policy("mixed_float16")  # brings loss scaling by itself
    model, *_ = functional()
    model.compile(keras.optimizers.SGD(0.1), Loss(ignore_class=-1))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    how = {"batch_size": 4, "epochs": 2, "verbose": 0}
    history = model.fit([x, some], some, sample_weight=1.0 * (y == 1), **how).history
    assert np.isfinite(history["loss"]).all()
    keras.config.set_dtype_policy("float32")
    head = keras_vsoftmax.VirtualSoftmax(3, label_smoothing=0.1)
    model, *_ = functional((3,), "float32", head=head)
    model.compile(keras.optimizers.SGD(0.1), Loss())
    rows = tiny.mixup_rows(y)
    history = model.fit([x, rows], rows, sample_weight=np.arange(24) % 2, **how).history
    assert np.isfinite(history["loss"]).all()
    for weight in tiny.weights(model):
        assert np.isfinite(weight).all()
