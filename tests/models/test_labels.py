"""Labels of every form through Classifier, what it ignores, and what it refuses."""

import keras
import numpy as np
import pytest

import keras_vsoftmax
from keras_vsoftmax import labels
from tests import tiny

pytestmark = pytest.mark.core


def training_loss(model, x, y):
    """The loss before the first step: one batch."""
    return model.fit(x, y, batch_size=len(x), verbose=0).history["loss"][0]


def expected_loss(model, x, rows, smoothing=0.0):
    kernel = keras.ops.convert_to_numpy(model.head.kernel)
    return tiny.virtual_losses(model.embed(x, verbose=0), kernel, rows, smoothing).mean()


FORMS = {
    "int32": lambda y: y,
    "int64": lambda y: y.astype("int64"),
    "uint8": lambda y: y.astype("uint8"),
    "float": lambda y: y.astype("float32"),
    "column": lambda y: y[:, None],
    "float column": lambda y: y[:, None].astype("float64"),
    "one-hot": lambda y: np.eye(3, dtype="float32")[y],
    "integer one-hot": lambda y: np.eye(3, dtype="int32")[y],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_ids_and_one_hot_rows_trains_alike(form):
    x, y = tiny.data()
    model = tiny.classifier(metrics=["accuracy"])
    expected = expected_loss(model, x, np.eye(3)[y])
    accuracy = (model.predict(x, verbose=0).argmax(-1) == y).mean()
    history = model.fit(x, FORMS[form](y), batch_size=len(x), verbose=0).history
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)
    assert history["accuracy"][0] == pytest.approx(accuracy)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_mixup_rows(smoothing):
    x, y = tiny.data()
    rows = tiny.mixup_rows(y)
    model = tiny.classifier(head_arguments={"label_smoothing": smoothing})
    expected = expected_loss(model, x, rows, smoothing)
    assert training_loss(model, x, rows) == pytest.approx(expected, rel=1e-5)


def test_label_smoothing_of_ids_is_that_of_their_rows_and_training_only():
    x, y = tiny.data()
    model = tiny.classifier(head_arguments={"label_smoothing": 0.2})
    expected = expected_loss(model, x, np.eye(3)[y], 0.2)
    evaluated = -model.predict(x, verbose=0)[np.arange(24), y].mean()
    assert model.evaluate(x, y, verbose=0) == pytest.approx(evaluated, rel=1e-5)
    assert training_loss(model, x, y) == pytest.approx(expected, rel=1e-5)


def test_rows_in_training_and_ids_in_validation():
    """What mixup needs. Keras makes the metrics for the first form it sees, here rows."""
    x, y = tiny.data()
    model = tiny.classifier(metrics=["accuracy"])
    val_x, val_y = tiny.data(18, seed=1)
    history = model.fit(
        x, tiny.mixup_rows(y), validation_data=(val_x, val_y[:, None]), verbose=0
    ).history
    right = model.predict(val_x, verbose=0).argmax(-1) == val_y
    assert history["val_accuracy"][0] == pytest.approx(right.mean())
    assert model.evaluate(val_x, val_y, verbose=0)[1] == pytest.approx(right.mean())


def test_rows_after_ids_are_refused_where_a_metric_would_misread_them():
    x, y = tiny.data()
    rows = tiny.mixup_rows(y)
    model = tiny.classifier(metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match=r"made for class ids.*compile\(\) again"):
        model.evaluate(x, rows, verbose=0)
    model.compile("sgd", metrics=["accuracy"])
    model.fit(x, rows, verbose=0)
    model = tiny.classifier()  # no metric, no trouble
    model.evaluate(x, y, verbose=0)
    loss = model.evaluate(x, rows, verbose=0)
    assert loss == pytest.approx(-(rows * model.predict(x, verbose=0)).sum(-1).mean(), rel=1e-5)


def test_ignored_rows_are_as_if_they_were_not_there():
    x, y = tiny.data()
    some = np.where(np.arange(24) % 4 == 0, -1, y)
    keep = some >= 0
    one, other = (
        tiny.classifier(loss=keras_vsoftmax.VirtualSoftmaxLoss(ignore_class=ignored))
        for ignored in (-1, None)
    )
    for given in (some, some[:, None], some.astype("float32")):
        loss = one.evaluate(x, given, verbose=0, batch_size=24)
        assert loss == pytest.approx(other.evaluate(x[keep], y[keep], verbose=0), rel=1e-5)
    one.fit(x, some, batch_size=24, epochs=2, verbose=0)
    other.fit(x[keep], y[keep], batch_size=24, epochs=2, verbose=0)
    tiny.assert_same_weights(one, other)


def test_a_batch_of_ignored_rows_trains_nothing():
    x, _ = tiny.data()
    model = tiny.classifier(loss=keras_vsoftmax.VirtualSoftmaxLoss(ignore_class=255))
    before = tiny.weights(model)
    assert model.fit(x, np.full(24, 255), verbose=0).history["loss"] == [0.0]
    for old, new in zip(before, tiny.weights(model)):
        np.testing.assert_array_equal(old, new)


# What it refuses: arrays before the first step.

BAD_ARRAYS = {
    "too large": (np.array([0, 1, 3, 2]), "whole numbers from 0 to 2. Received: 3 at index"),
    "negative": (np.array([[0], [1], [-1], [2]]), "Received: -1 at index"),
    "no integer": (np.array([0, 1, 1.5, 2]), "Received: 1.5 at index"),
    "nan": (np.array([0, 1, np.nan, 2]), "Received: nan at index"),
    "text": (np.array(["a", "b", "c", "d"]), "labels of dtype"),
    "sum": (np.full((4, 3), 0.5), "Rows of labels must be probabilities.*the sum 1.5"),
    "sign": (np.array([[1.5, -0.5, 0]] * 4), "smallest entry -0.5"),
    "many-hot": (np.array([[1, 1, 0]] * 4), "the sum 2"),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
def test_bad_arrays_are_refused_before_the_first_step(kind):
    y, message = BAD_ARRAYS[kind]
    x, good = tiny.data(4)
    model = tiny.classifier(metrics=["accuracy"])
    before = tiny.weights(model)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        model.fit(x, good, validation_data=(x, y), verbose=0)
    for old, new in zip(before, tiny.weights(model)):
        np.testing.assert_array_equal(old, new)
    model.fit(x, good, verbose=0)  # it can still be used


@pytest.mark.parametrize("shape", [(24, 2), (24, 2, 2)])
def test_arrays_of_a_wrong_shape(shape):
    x, y = tiny.data()
    model = tiny.classifier(metrics=["accuracy"])
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"\(..., 3\).*Received: labels.shape=\(\w+, 2"):
            call(x, np.zeros(shape, int), verbose=0)
    model.fit(x, y, verbose=0)


@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch", "test_on_batch"])
def test_no_labels(call):
    x, y = tiny.data(8)
    model = tiny.classifier()
    quiet = {} if call.endswith("batch") else {"verbose": 0}
    with pytest.raises(ValueError, match=r"needs labels.*Received: no labels"):
        getattr(model, call)(x, **quiet)
    if not call.endswith("batch"):
        with pytest.raises(ValueError, match=r"needs labels.*Received: no labels"):
            getattr(model, call)(tiny.Batches(x), **quiet)
    model.fit(x, y, verbose=0)


@pytest.mark.parametrize("arguments", [("arcface", {}), ("virtual", {"block_size": 2})])
def test_one_hot_rows_where_soft_ones_have_no_meaning(arguments):
    x, y = tiny.data()
    name, knobs = arguments
    losses = []
    for labels_of in (lambda y: y, lambda y: np.eye(3, dtype="float32")[y]):
        for make in (lambda x, y: (x, y), lambda x, y: (tiny.Batches(x, y),)):
            model = tiny.classifier(name, head_arguments=knobs, metrics=["accuracy"])
            quiet = {"shuffle": False, "verbose": 0}
            if len(make(x, y)) == 2:
                quiet["batch_size"] = 8
            history = model.fit(*make(x, labels_of(y)), epochs=2, **quiet).history
            evaluated = model.evaluate(*make(x, labels_of(y)), verbose=0)
            losses.append([*history["loss"], *history["accuracy"], *evaluated])
    for loss in losses[1:]:
        np.testing.assert_allclose(loss, losses[0], rtol=1e-5)


def test_soft_rows_for_a_margin_head_are_refused():
    x, y = tiny.data()
    rows = 0.9 * np.eye(3, dtype="float32")[y] + 0.1 / 3
    model = tiny.classifier("arcface", metrics=["accuracy"])
    before = tiny.weights(model)
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"one-hot.*Received: at index.*Nothing was trained"):
            call(x, rows, verbose=0)
        with pytest.raises(ValueError, match=r"met bad labels.*no one-hot row of 3"):
            call(tiny.Batches(x, rows), verbose=0)
    for one, other in zip(before, tiny.weights(model)):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["arcface", "virtual"])
def test_behind_the_wrapper_of_scikit_learn(name):
    pytest.importorskip("sklearn")
    x, y = tiny.data()
    wrapped = keras.wrappers.SKLearnClassifier(
        tiny.classifier(name), fit_kwargs={"epochs": 30, "verbose": 0}
    )
    wrapped.fit(x, np.array(["a", "b", "c"])[y])
    assert (wrapped.predict(x) == np.array(["a", "b", "c"])[y]).mean() > 0.9


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16"])
@pytest.mark.parametrize("ignored", [None, -1, 255])
def test_narrow_labels_of_many_classes(dtype, ignored):
    x, y = tiny.data()
    y = (y + 120).astype(dtype)
    loss = keras_vsoftmax.VirtualSoftmaxLoss(ignore_class=ignored)
    losses = []
    for labels_given in (y, y.astype("int32")):
        for data in ((x, labels_given), (tiny.Batches(x, labels_given),)):
            model = tiny.classifier(units=256, loss=loss)
            quiet = {"shuffle": False, "verbose": 0, **({"batch_size": 8} if len(data) > 1 else {})}
            losses.append(model.fit(*data, **quiet).history["loss"])
    for given in losses[1:]:
        np.testing.assert_allclose(given, losses[0], rtol=1e-6)


def test_training_a_head_without_labels():
    head = keras_vsoftmax.VirtualSoftmax(3)
    with pytest.raises(ValueError, match=r"labels=None with training=True"):
        head(np.ones((2, 4), "float32"), training=True)


@pytest.mark.parametrize("after", ["nothing", "fit"])
def test_the_model_stays_usable_after_labels_of_a_wrong_shape_in_a_stream(after):
    x, y = tiny.data()
    bad = tiny.Batches(x, np.zeros((24, 2), "int32"))
    model = tiny.classifier(optimizer=keras.optimizers.Adam(), metrics=["accuracy"])
    if after != "nothing":
        getattr(model, after)(x, y, verbose=0)
    predicted = model.predict(x, verbose=0)
    for call in (model.fit, model.evaluate):
        with pytest.raises(ValueError, match=r"Received: labels.shape=\(\w+, 2\)"):
            call(bad, verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), predicted)
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"][0])
    assert np.isfinite(model.evaluate(x, y, verbose=0)[0])


# Streams: the bad batch makes the loss NaN, and the call ends with an error.


def stream_with(bad):
    """Three batches, the second of which holds one bad label."""
    x, y = tiny.data()
    y = np.array(FORMS["one-hot"](y) if np.ndim(bad) else y, "float32")
    y[10] = bad
    return x, y


@pytest.mark.parametrize("bad", [3, -1, 0.5, (2.0, -1.0, 0.0)])
def test_a_bad_label_in_a_stream_is_an_error_at_the_end_of_the_call(bad):
    x, y = stream_with(bad)
    model = tiny.classifier(metrics=["accuracy"])
    with pytest.raises(ValueError, match=r"bad labels in epoch 1: 1 of them.*0 to 2.*applied"):
        model.fit(tiny.Batches(x, y), epochs=3, shuffle=False, verbose=0)
    # The good samples were applied: those of its batch too, weighted as there.
    expected = tiny.classifier()
    weight = np.ones(24)
    weight[10] = 0
    y[10] = y[9]
    expected.fit(x, y, sample_weight=weight, batch_size=8, shuffle=False, verbose=0)
    tiny.assert_same_weights(model, expected)
    assert np.isfinite(model.fit(x, y, verbose=0).history["loss"][0])


def test_a_bad_label_with_zero_weight_is_no_good_label():
    x, y = stream_with(3)
    weight = np.ones(24)
    weight[10] = 0
    with pytest.raises(ValueError, match=r"bad labels in epoch 1"):
        tiny.classifier().fit(tiny.Batches(x, y, weight), shuffle=False, verbose=0)


def test_a_bad_label_in_a_stream_that_is_evaluated():
    x, y = stream_with(3)
    model = tiny.classifier(metrics=["accuracy"])
    with pytest.raises(ValueError, match=r"Evaluation met bad labels: 1 of them"):
        model.evaluate(tiny.Batches(x, y), verbose=0)
    with pytest.raises(ValueError, match=r"Evaluation met bad labels: 1 of them"):
        model.fit(*tiny.data(), validation_data=tiny.Batches(x, y), epochs=2, verbose=0)
    model.evaluate(*tiny.data(), verbose=0)


def test_bad_labels_are_told_from_those_of_the_validation_and_counted():
    x, y = stream_with(3)
    y[0] = -1
    model = tiny.classifier()
    with pytest.raises(ValueError, match=r"Training met bad labels in epoch 1: 2 of them"):
        model.fit(tiny.Batches(x, y), validation_data=tiny.data(), shuffle=False, verbose=0)


def test_divergence_is_told_from_bad_labels():
    x, y = tiny.data()
    model = tiny.classifier(optimizer=keras.optimizers.SGD(1e30))
    with pytest.raises(FloatingPointError, match=r"every label was valid.*steps before were"):
        model.fit(x, y, batch_size=8, epochs=5, verbose=0)


def test_check_array_without_a_rank():
    """Before an own backbone was called once, (batch, units) may be ids or rows."""
    labels.check_array(np.array([[0, 1, 2], [2, 2, 2]]), units=3)
    labels.check_array(np.array([[0.5, 0.5, 0.0]]), units=3)
    labels.check_array(np.zeros((0, 3)), units=3)
    labels.check_array([0, 1, -1], units=3, ignore_class=-1)
    with pytest.raises(ValueError, match=r"the sum 1.5"):
        labels.check_array(np.array([[0.5, 0.5, 0.5]]), units=3)
    with pytest.raises(ValueError, match=r"or ignore_class=-1. Received: -2"):
        labels.check_array([0, 1, -2], units=3, ignore_class=-1)
