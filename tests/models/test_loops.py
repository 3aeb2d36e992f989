"""Loops of one's own: the snippets of docs/training_loops.md run, and train as `fit` does."""

import keras
import numpy as np
import pytest

import keras_vsoftmax
from keras_vsoftmax.models import Student
from tests import snippets, tiny

pytestmark = pytest.mark.core

BACKEND = keras.backend.backend()
CALL, TENSORFLOW, JAX, TORCH, TRAIN_STEP, DISTILLATION = snippets.of("docs/training_loops.md")
LOOP = {"tensorflow": TENSORFLOW, "jax": JAX, "torch": TORCH}[BACKEND]


def run(snippet, **names):
    return snippets.run([snippet], {"keras": keras, "keras_vsoftmax": keras_vsoftmax, **names})


def number(tensor):
    return float(keras.ops.convert_to_numpy(tensor))


def regularized(head="virtual"):
    return tiny.classifier(head, head_arguments={"kernel_regularizer": "l2"})


@pytest.mark.parametrize("head", ["virtual", "softmax", "angular"])
def test_the_loop_of_this_backend_trains_as_fit_does(head):
    x, y = tiny.data()
    parts = [slice(i, i + 8) for i in (0, 8, 16)]
    model, expected = regularized(head), regularized(head)
    names = run(LOOP, model=model, batches=[(x[part], y[part]) for part in parts])
    losses = []
    for part in parts:
        losses.append(expected.train_on_batch(x[part], y[part]))
        expected.reset_metrics()
    tiny.assert_same_weights(model, expected, atol=1e-6)
    assert number(names["loss"]) == pytest.approx(np.ravel(losses[-1])[0], rel=1e-5)


def test_the_call_with_labels_is_that_of_the_head():
    x, y = tiny.data()
    model = tiny.classifier()
    names = run(CALL, model=model, x=x, y=y)
    output = keras.ops.convert_to_numpy(names["output"])
    expected = model.head(model.backbone(x, training=True), y, training=True)
    np.testing.assert_array_equal(output, keras.ops.convert_to_numpy(expected))
    kernel = keras.ops.convert_to_numpy(model.head.kernel)
    losses = tiny.virtual_losses(model.embed(x, verbose=0), kernel, np.eye(3)[y])
    np.testing.assert_allclose(-output[np.arange(24), y], losses, rtol=1e-4)
    assert number(names["loss"]) == pytest.approx(losses.mean(), rel=1e-5)
    # Labels change nothing outside training, and none are taken from a training step.
    for given in (y, None):
        plain = keras.ops.convert_to_numpy(model(x, labels=given))
        np.testing.assert_allclose(np.exp(plain).sum(-1), 1, atol=1e-5)


def test_the_first_call_may_be_one_with_labels(tmp_path):
    x, y = tiny.data()
    model = keras_vsoftmax.Classifier(keras.layers.Dense(4), keras_vsoftmax.VirtualSoftmax(3))
    model(x, labels=y, training=True)
    assert list(model.get_build_config()["input_shape"]) == list(x.shape)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))


def test_training_without_labels_says_how_to_pass_them():
    x, _ = tiny.data(4)
    with pytest.raises(ValueError, match=r"model\(x, labels=y, training=True\).*labels=None"):
        tiny.classifier()(x, training=True)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the step of the guide is TensorFlow's")
def test_the_train_step_of_the_guide():
    import tensorflow as tf

    x, y = tiny.data()
    clipped = run(TRAIN_STEP, tf=tf)["Clipped"]
    model = clipped(tiny.backbone(), keras_vsoftmax.VirtualSoftmax(3))
    model.compile(keras.optimizers.SGD(0.1))
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=5, batch_size=8, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before


# Distillation.

distillation = pytest.mark.skipif(
    not hasattr(keras, "distillation"), reason="keras.distillation came after Keras 3.10"
)


def teacher():
    """One that knows the classes: the logits of the first three numbers."""
    model = keras.Sequential([keras.Input((tiny.DIM,)), keras.layers.Dense(3, use_bias=False)])
    model.set_weights([4 * np.eye(tiny.DIM, 3)])
    return model


def distill(model, weight, epochs=1, optimizer=None, **kwargs):
    student = Student(model, **kwargs)
    distiller = keras.distillation.Distiller(
        teacher(),
        student,
        keras.distillation.LogitsDistillation(2.0, loss=keras.losses.KLDivergence()),
        student_loss_weight=weight,
    )
    optimizer = optimizer or keras.optimizers.SGD(0.1)
    distiller.compile(optimizer, loss=student.supervised_loss, metrics=["accuracy"])
    x, y = tiny.data()
    history = distiller.fit(x, y, batch_size=8, epochs=epochs, shuffle=False, verbose=0)
    return distiller, history.history


@distillation
def test_the_snippet_of_the_guide():
    x, y = tiny.data()
    model = tiny.classifier()
    names = run(DISTILLATION, model=model, teacher=teacher(), x=x, y=y)
    np.testing.assert_array_equal(names["log_probs"], model.predict(x, verbose=0))


@distillation
@pytest.mark.parametrize("head", ["virtual", "arcface"])
def test_a_student_with_its_own_loss_alone_trains_as_fit_does(head):
    x, y = tiny.data()
    model, expected = tiny.classifier(head), tiny.classifier(head)
    _, history = distill(model, 1.0, epochs=2)
    theirs = expected.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    tiny.assert_same_weights(model, expected, atol=1e-5)
    assert history["student_loss"] == pytest.approx(theirs["loss"], rel=1e-5)


@distillation
@pytest.mark.parametrize("head", ["virtual", "arcface"])
@pytest.mark.parametrize("weight", [0.0, 0.01, 0.5])
def test_a_student_learns_from_the_teacher_and_no_guard_fires(head, weight):
    x, y = tiny.data()
    model = tiny.classifier(head)
    distiller, history = distill(model, weight, 15, keras.optimizers.Adam(0.05))
    assert np.isfinite(history["distillation_loss"]).all()
    assert history["distillation_loss"][-1] < 0.5 * history["distillation_loss"][0]
    assert (history["student_loss"][0] > 0) == (weight > 0)
    for array in tiny.weights(model):
        assert np.isfinite(array).all()
    assert (model.predict(x, verbose=0).argmax(-1) == y).all()
    results = distiller.evaluate(x, y, verbose=0, return_dict=True)
    assert results["accuracy"] == 1.0
    if weight:  # the plain cross-entropy, as that of the Classifier
        assert results["student_loss"] == pytest.approx(model.evaluate(x, y, verbose=0), rel=1e-4)


@distillation
def test_a_student_ignores_a_class():
    x, y = tiny.data()
    some = np.where(np.arange(24) % 2, -1, y)
    loss = keras_vsoftmax.VirtualSoftmaxLoss(ignore_class=-1)
    student = Student(tiny.classifier(), loss)
    value = student.supervised_loss(some, student(x, training=True))
    expected = Student(student.model)
    kept = expected.supervised_loss(y[::2], expected(x[::2], training=True))
    assert number(value) == pytest.approx(number(kept), rel=1e-5)


def test_what_a_student_refuses():
    with pytest.raises(TypeError, match=r"must be a Classifier. Received: model="):
        Student(tiny.backbone())
    blocked = tiny.classifier(head_arguments={"block_size": 2})
    with pytest.raises(ValueError, match=r"without block_size and .* Received: block_size=2"):
        Student(blocked)
    with pytest.raises(ValueError, match=r"`loss` must be VirtualSoftmaxLoss.*Received: loss="):
        Student(tiny.classifier(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    student = Student(tiny.classifier())
    x, y = tiny.data(4)
    output = keras.ops.convert_to_numpy(student(x, training=True))
    with pytest.raises(ValueError, match=r"output of this student in the same step.*Received"):
        student.supervised_loss(y, output)


def test_a_student_is_saved_with_its_model(tmp_path):
    x, _ = tiny.data()
    student = Student(tiny.classifier())
    student(x)
    student.save(tmp_path / "student.keras")
    loaded = keras.saving.load_model(tmp_path / "student.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), student.predict(x, verbose=0))
    predicted = loaded.model.predict(x, verbose=0)
    np.testing.assert_array_equal(predicted, student.model.predict(x, verbose=0))
