"""Classifier under Keras's own training loops: where the data come from, and how steps run."""

import shutil

import keras
import numpy as np
import pytest

import keras_vsoftmax
from tests import tiny

pytestmark = pytest.mark.core

BACKEND = keras.backend.backend()


def arrays(*parts):
    return {"x": parts[0], "y": parts[1], "sample_weight": (*parts, None)[2], "batch_size": 8}


def py_dataset(*parts):
    return {"x": tiny.Batches(*parts)}


def generator(*parts):
    batches = tiny.Batches(*parts)

    def endless():
        while True:
            for index in range(len(batches)):
                yield batches[index]

    return {"x": endless(), "steps_per_epoch": len(batches)}


def tf_dataset(*parts):
    tf = pytest.importorskip("tensorflow")
    return {"x": tf.data.Dataset.from_tensor_slices(parts).batch(8)}


def torch_loader(*parts):
    torch = pytest.importorskip("torch")
    dataset = torch.utils.data.TensorDataset(*[torch.tensor(part) for part in parts])
    return {"x": torch.utils.data.DataLoader(dataset, batch_size=8)}


@pytest.fixture(scope="module")
def trained():
    """What two epochs over the arrays give, without and with sample weights."""
    x, y = tiny.data()
    sample_weight = np.linspace(0, 2, len(x), dtype="float32")
    models = []
    for parts in ((x, y), (x, y, sample_weight)):
        model = tiny.classifier(metrics=["accuracy"])
        model.fit(**arrays(*parts), epochs=2, shuffle=False, verbose=0)
        models.append((parts, model))
    return models


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("source", [py_dataset, generator, tf_dataset, torch_loader])
def test_every_source_of_data_trains_alike(trained, source, weighted):
    parts, expected = trained[weighted]
    model = tiny.classifier(metrics=["accuracy"])
    model.fit(**source(*parts), epochs=2, shuffle=False, verbose=0)
    tiny.assert_same_weights(model, expected)


@pytest.mark.parametrize("source", [arrays, py_dataset, tf_dataset])
def test_every_source_of_data_evaluates_predicts_and_embeds_alike(trained, source):
    (x, y), model = trained[0]
    log_probs = model.predict(x, verbose=0)
    given = source(x, y)
    loss, accuracy = model.evaluate(**given, verbose=0)
    assert loss == pytest.approx(-log_probs[np.arange(len(y)), y].mean(), abs=1e-6)
    assert accuracy == pytest.approx((log_probs.argmax(-1) == y).mean())
    np.testing.assert_allclose(model.predict(given["x"], verbose=0), log_probs, atol=1e-6)
    features = model.backbone.predict(x, verbose=0)
    np.testing.assert_allclose(model.embed(given["x"], verbose=0), features, atol=1e-6)


def test_predictions_are_plain_log_softmax():
    x, _ = tiny.data()
    model = tiny.classifier()
    z = model.embed(x, verbose=0) @ keras.ops.convert_to_numpy(model.head.kernel)
    expected = z - np.log(np.exp(z).sum(-1, keepdims=True))
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)


def test_fit_learns_and_the_training_loss_stays_above_log_2():
    x, y = tiny.data()
    model = tiny.classifier(optimizer=keras.optimizers.Adam(0.05), metrics=["accuracy"])
    history = model.fit(x, y, epochs=30, batch_size=8, validation_data=(x, y), verbose=0).history
    assert history["accuracy"][-1] == history["val_accuracy"][-1] == 1.0
    assert min(history["loss"]) > np.log(2)
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_loss"][-1] < 0.1


@pytest.mark.parametrize(
    "validation", [lambda x, y: (x, y), lambda x, y: tiny.Batches(x, y)], ids=["arrays", "stream"]
)
def test_validation_data_is_what_evaluate_says(validation):
    x, y = tiny.data()
    model = tiny.classifier(metrics=["accuracy"])
    data = validation(*tiny.data(seed=1))
    history = model.fit(x, y, epochs=2, validation_data=data, verbose=0).history
    loss, accuracy = model.evaluate(*tiny.data(seed=1), batch_size=8, verbose=0)
    assert history["val_loss"][-1] == pytest.approx(loss, abs=1e-6)
    assert history["val_accuracy"][-1] == pytest.approx(accuracy)


def test_validation_split_and_positional_arguments():
    x, y = tiny.data()
    model = tiny.classifier()
    history = model.fit(x, y, 8, 2, 0, validation_split=0.25).history
    assert len(history["val_loss"]) == 2
    assert history["val_loss"][-1] == pytest.approx(model.evaluate(x[18:], y[18:], 8, 0), abs=1e-6)


def test_callbacks_may_be_a_list_or_one_callback():
    x, y = tiny.data()
    model = tiny.classifier()
    for callbacks in (None, keras.callbacks.History(), [keras.callbacks.History()]):
        assert len(model.fit(x, y, epochs=2, callbacks=callbacks, verbose=0).epoch) == 2


@pytest.mark.parametrize("labels", ["ids", "column", "rows"])
def test_class_weight_is_a_sample_weight_by_class(labels):
    x, y = tiny.data()
    given = {"ids": y, "column": y[:, None], "rows": np.eye(3, dtype="float32")[y]}[labels]
    by_class = {0: 1.0, 1: 0.0, 2: 3.0}
    one, other = tiny.classifier(), tiny.classifier()
    one.fit(x, given, class_weight=by_class, batch_size=8, shuffle=False, verbose=0)
    sample_weight = np.array([by_class[label] for label in y])
    other.fit(x, y, sample_weight=sample_weight, batch_size=8, shuffle=False, verbose=0)
    tiny.assert_same_weights(one, other)


def test_zero_sample_weight_trains_nothing():
    x, y = tiny.data()
    model = tiny.classifier()
    before = tiny.weights(model)
    history = model.fit(x, y, sample_weight=np.zeros(len(x)), epochs=2, verbose=0).history
    assert history["loss"] == [0.0, 0.0]
    for old, new in zip(before, tiny.weights(model)):
        np.testing.assert_array_equal(old, new)


HOW = {
    "eager": {"run_eagerly": True},
    "jit": {"jit_compile": True},
    "no jit": {"jit_compile": False},
    "steps_per_execution": {"steps_per_execution": 2},
}
if BACKEND == "torch":
    # Keras refuses steps_per_execution there; torch.compile has a test of its own.
    del HOW["steps_per_execution"], HOW["jit"]


@pytest.mark.parametrize("how", HOW)
def test_every_way_to_run_a_step_trains_alike(trained, how):
    (x, y), expected = trained[0]
    model = tiny.classifier(metrics=["accuracy"], **HOW[how])
    model.fit(x, y, epochs=2, batch_size=8, shuffle=False, verbose=0)
    tiny.assert_same_weights(model, expected, atol=1e-5)
    np.testing.assert_allclose(
        model.evaluate(x, y, batch_size=8, verbose=0),
        expected.evaluate(x, y, batch_size=8, verbose=0),
        atol=1e-5,
    )
    np.testing.assert_allclose(
        model.predict(x, verbose=0), expected.predict(x, verbose=0), atol=1e-5
    )


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "torch", reason="torch.compile")
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile wants a C++ compiler")
@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")  # torch's own, inside
def test_torch_compile_trains_alike():
    x, y = tiny.data(8)
    one, other = tiny.classifier(jit_compile=True), tiny.classifier(jit_compile=False)
    for model in (one, other):
        model.fit(x, y, epochs=2, shuffle=False, verbose=0)
    tiny.assert_same_weights(one, other, atol=1e-5)


def test_train_on_batch_is_a_step_of_fit(trained):
    (x, y), expected = trained[0]
    model = tiny.classifier(metrics=["accuracy"])
    for start in (0, 8, 16) * 2:
        model.train_on_batch(x[start : start + 8], y[start : start + 8])
    tiny.assert_same_weights(model, expected)
    model.reset_metrics()  # Keras up to 3.14 goes on from the training steps
    assert model.test_on_batch(x, y)[0] == pytest.approx(expected.evaluate(x, y, verbose=0)[0])


@pytest.mark.parametrize("name", keras_vsoftmax.heads.NAMES)
def test_training_accuracy_is_that_of_the_plain_logits(name):
    """Classified right in evaluation, so 1.0 in a training pass that changes nothing."""
    x, y = tiny.data(samples=30)
    model = tiny.classifier(name, optimizer=keras.optimizers.SGD(0.0), metrics=["accuracy"])
    model.backbone.set_weights(
        [np.eye(4, 8), np.zeros(8), np.eye(8, 4), np.zeros(4)]  # tanh keeps the signs
    )
    model.head.kernel.assign(np.repeat(np.eye(4, 3), model.head.class_vectors, axis=1))
    assert model.evaluate(x, y, verbose=0)[1] == 1.0
    history = model.fit(x, y, batch_size=10, verbose=0).history
    assert history["accuracy"] == [1.0]


@pytest.mark.parametrize("head", ["virtual", "softmax", "arcface"])
def test_a_batch_of_no_rows_step_by_step(head):
    head = keras_vsoftmax.heads.get(head, tiny.UNITS)
    head.build((None, tiny.DIM))
    x, y = np.zeros((0, tiny.DIM), "float32"), np.zeros(0, "int32")
    assert tuple(head(x, y, training=True).shape) == (0, tiny.UNITS)
