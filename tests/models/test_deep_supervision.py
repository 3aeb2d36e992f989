import keras
import numpy as np
import pytest

from keras_vsoftmax import Classifier, VirtualSoftmaxLoss, heads
from keras_vsoftmax.models.deep_supervision import DeeplySupervised
from tests import tiny

pytestmark = pytest.mark.core


def _backbone(units=(8, 5, tiny.DIM)):
    x = keras.Input((tiny.DIM,))
    outputs = [x]
    for i, size in enumerate(units):
        init = keras.initializers.GlorotUniform(seed=i)
        outputs.append(
            keras.layers.Dense(size, activation="tanh", kernel_initializer=init)(outputs[-1])
        )
    return keras.Model(x, outputs[1:])


def _head(name, seed=7):
    init = keras.initializers.GlorotUniform(seed=seed)
    return heads.get(name, tiny.UNITS, kernel_initializer=init)


def _model(head="virtual", companions=("softmax", "virtual"), loss=None, rate=0.1, **arguments):
    made = [_head(name, seed) for seed, name in enumerate(companions)]
    model = DeeplySupervised(_backbone(), _head(head), made, **arguments)
    model.compile(keras.optimizers.SGD(rate), loss=loss, metrics=["accuracy"])
    return model


def _numpy(x):
    return keras.ops.convert_to_numpy(x)


def _softmax_loss(features, kernel, y, weights):
    z = np.asarray(features, "float64") @ np.asarray(kernel, "float64")
    losses = np.log(np.exp(z).sum(-1)) - z[np.arange(len(y)), y]
    return (losses * weights).sum() / len(y)


def test_the_loss_of_a_step_against_numpy():
    x, y = tiny.data()
    weights = np.linspace(0.5, 2, len(y)).astype("float32")
    model = _model("softmax", ("softmax", "softmax"), rate=0.0, companion_weight=0.5, fade_steps=4)
    depths = [np.asarray(f) for f in model.deep_backbone.predict(x, verbose=0)]
    kernels = [_numpy(h.kernel) for h in (*model.companions, model.head)]
    *hidden, top = (_softmax_loss(f, k, y, weights) for f, k in zip(depths, kernels, strict=True))
    history = model.fit(x, y, sample_weight=weights, batch_size=len(y), epochs=6, verbose=0).history
    shares = np.array([1, 0.75, 0.5, 0.25, 0, 0])
    np.testing.assert_allclose(history["loss"], top + 0.5 * shares * sum(hidden), rtol=1e-5)
    for number, loss in enumerate(hidden, 1):
        np.testing.assert_allclose(history[f"companion_{number}_loss"], loss, rtol=1e-5)


def test_faded_companions_change_nothing():
    """With no weight left the training is that of a classifier, and the companions rest."""
    x, y = tiny.data()
    deep = _model(companion_weight=0.5, fade_steps=1)
    deep.companion_step.assign(1)
    single = _backbone()
    plain = Classifier(keras.Model(single.input, single.output[-1]), _head("virtual"))
    plain.compile(keras.optimizers.SGD(0.1), metrics=["accuracy"])
    before = [_numpy(c.kernel) for c in deep.companions]
    for model in (deep, plain):
        model.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    for one, other in zip(deep.backbone.weights, plain.backbone.weights, strict=True):
        np.testing.assert_allclose(_numpy(one), _numpy(other), atol=1e-6)
    for companion, kernel in zip(deep.companions, before, strict=True):
        np.testing.assert_array_equal(_numpy(companion.kernel), kernel)


def test_companions_learn_and_reach_the_hidden_layers():
    x, y = tiny.data()
    model = _model(companion_weight=1.0, fade_steps=10_000)
    history = model.fit(x, y, batch_size=8, epochs=10, verbose=0).history
    for name in ("companion_1_loss", "companion_2_loss"):
        assert history[name][-1] < 0.8 * history[name][0]
    # Of a virtual head, so that it is no plain cross-entropy.
    assert history["companion_2_loss"][-1] >= np.log(2)


def test_all_but_training_is_the_top_alone(tmp_path):
    x, y = tiny.data()
    model = _model(companion_weight=1.0)
    model.fit(x, y, epochs=2, verbose=0)
    plain = Classifier(model.backbone, model.head)
    plain.compile("sgd", metrics=["accuracy"])
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain.predict(x, verbose=0))
    np.testing.assert_array_equal(model.embed(x, verbose=0), plain.embed(x, verbose=0))
    results = model.evaluate(x, y, verbose=0, return_dict=True)
    assert results.keys() == {"loss", "accuracy"}
    expected = plain.evaluate(x, y, verbose=0, return_dict=True)
    # Keras 3.10 gives tensors here.
    assert float(results["loss"]) == pytest.approx(float(expected["loss"]), rel=1e-5)
    assert len(model.evaluate(x, y, verbose=0)) == 2
    changed = [c.kernel.assign(0 * c.kernel.value) for c in model.companions]
    assert len(changed) == 2
    np.testing.assert_array_equal(model.predict(x, verbose=0), plain.predict(x, verbose=0))


def test_saved_and_gone_on(tmp_path):
    x, y = tiny.data()
    model = _model(fade_steps=20, companion_weight=0.5)
    model.fit(x, y, batch_size=8, shuffle=False, epochs=2, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert int(_numpy(again.companion_step)) == 6
    assert (again.fade_steps, again.companion_weight) == (20, 0.5)
    np.testing.assert_array_equal(again.predict(x, verbose=0), model.predict(x, verbose=0))
    histories = [
        m.fit(x, y, batch_size=8, shuffle=False, epochs=3, verbose=0).history
        for m in (model, again)
    ]
    for name, values in histories[0].items():
        np.testing.assert_allclose(values, histories[1][name], rtol=1e-5)
    tiny.assert_same_weights(model, again)


def test_validation_and_ignored_labels():
    x, y = tiny.data()
    y = np.where(np.arange(len(y)) % 4 == 0, -1, y)
    model = _model(loss=VirtualSoftmaxLoss(ignore_class=-1), rate=0.0)
    history = model.fit(x, y, validation_data=(x, np.maximum(y, 0)), verbose=0).history
    assert sorted(history) == [
        *("accuracy", "companion_1_loss", "companion_2_loss"),
        *("loss", "val_accuracy", "val_loss"),
    ]
    kept = y >= 0
    other = _model(rate=0.0).fit(x[kept], y[kept], batch_size=len(y), verbose=0).history
    whole = model.fit(x, y, batch_size=len(y), verbose=0).history
    assert whole["companion_1_loss"][0] == pytest.approx(other["companion_1_loss"][0], rel=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"backbone": tiny.backbone}, ValueError, "list of outputs, the embedding last"),
        ({"companions": ()}, ValueError, "each of the 2 outputs.*Received: 0 companions"),
        ({"companions": ("softmax", 3)}, TypeError, "heads of this package.*Received: 3"),
        ({"companions": ("softmax", "wide")}, ValueError, "units=3.*Received: units=4"),
        ({"companions": ("softmax", "blocked")}, ValueError, "block_size=2"),
        ({"companion_weight": -1}, ValueError, "companion_weight=-1"),
        ({"fade_steps": 0}, ValueError, "fade_steps=0"),
    ],
)
def test_errors_say_what_was_received(change, error, message):
    special = {
        "wide": lambda: heads.get("softmax", 4),
        "blocked": lambda: heads.get("virtual", 3, block_size=2),
    }

    def make(companion):
        if companion in special:
            return special[companion]()
        return _head(companion) if isinstance(companion, str) else companion

    change = dict(change)
    backbone = change.pop("backbone", _backbone)()
    companions = [make(c) for c in change.pop("companions", ("softmax", "softmax"))]
    with pytest.raises(error, match=message):
        DeeplySupervised(backbone, _head("softmax"), companions, **change)


def test_soft_rows_need_heads_that_all_take_them():
    x, y = tiny.data()
    soft = 0.9 * np.eye(tiny.UNITS)[y] + 0.1 / tiny.UNITS
    model = _model("softmax", ("softmax", "arcface"))
    before = [_numpy(weight) for weight in model.weights]
    for act in (model.fit, model.evaluate, model.train_on_batch):
        with pytest.raises(ValueError, match="one-hot"):
            act(x, soft)
    for old, new in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, _numpy(new))
    _model("softmax", ("softmax", "virtual")).fit(x, soft, verbose=0)


def test_a_smaller_last_batch_counts_by_its_samples():
    x, y = tiny.data()
    model = _model(rate=0.0)
    short = len(y) - 1
    batches = [
        model.fit(x[part], y[part], batch_size=len(y), verbose=0).history["companion_1_loss"][0]
        for part in (slice(0, short), slice(short, None))
    ]
    expected = np.average(batches, weights=[short, 1])
    found = model.fit(x, y, batch_size=short, shuffle=False, verbose=0).history
    assert found["companion_1_loss"][0] == pytest.approx(expected, rel=1e-5)
    assert batches[0] != pytest.approx(batches[1], rel=1e-2)
