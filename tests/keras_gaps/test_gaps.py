"""Each gap of Keras is still there, and what is relied upon in its place still does it.

A test that fails here says that Keras has closed the gap, so that the entry of
keras_vsoftmax/keras_gaps can go, or that a private name has gone, so that it needs another one.
"""

import inspect

import keras
import numpy as np
import pytest

from keras_vsoftmax.keras_gaps import (
    failed_steps,
    initial_epoch,
    jax_state,
    label_rank,
    logits_mark,
    loss_dtype,
    masks,
    multi_worker,
    portable,
    searching,
    sublayers,
)

pytestmark = pytest.mark.core

BACKEND = keras.backend.backend()
only_tensorflow = pytest.mark.skipif(
    BACKEND != "tensorflow", reason="a gap of TensorFlow's trainer"
)
only_jax = pytest.mark.skipif(BACKEND != "jax", reason="a gap of JAX's trainer")


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def plain(cls=keras.Sequential, **compiling):
    model = cls([keras.Input((2,)), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, **compiling)
    return model


def data():
    return np.ones((8, 2), "float32"), np.arange(8) % 2


class Masked(keras.losses.Loss):
    def call(self, y_true, y_pred):
        values = keras.ops.square(y_true - y_pred)
        masks.set_keras_mask(values, y_true > 0)
        return values


def test_masks():
    y = keras.ops.convert_to_tensor([1.0, -1.0, 1.0, -1.0])
    assert float(numpy(Masked()(y, 3 * y))) == 4  # of two values, where all would give 4 as well
    assert float(numpy(Masked(reduction="sum")(y, 3 * y))) == 8
    values = keras.ops.ones((2,))
    masks.set_keras_mask(values, values > 0)
    assert numpy(masks.get_keras_mask(values)).all()
    public = [*dir(keras.ops), *dir(keras.utils), *dir(keras.backend), *dir(keras.losses)]
    assert not [name for name in public if "keras_mask" in name]


def test_loss_dtype():
    loss = keras.losses.MeanSquaredError()
    y = np.ones(3, "float64")
    if BACKEND != "jax":  # which has no float64 by default
        wide = keras.ops.cast(np.zeros(3), "float64")
        assert keras.backend.standardize_dtype(loss(y, wide).dtype) == "float32"
        loss_dtype.compute_in_dtype_of(loss, wide)
        assert keras.backend.standardize_dtype(loss(y, wide).dtype) == "float64"
    half = keras.ops.cast(np.zeros(3), "float16")
    loss_dtype.compute_in_dtype_of(loss, half)
    assert loss.dtype == "float32"


def test_logits_mark():
    logits = keras.ops.convert_to_tensor([[-1.0, -3.0]])
    outputs = [keras.ops.exp(logits), keras.ops.exp(logits)]
    logits_mark.mark_as_logits(outputs[0])
    try:
        outputs[1]._keras_logits = 5 * logits
    except AttributeError:
        return  # JAX
    loss = keras.losses.SparseCategoricalCrossentropy()
    values = [float(numpy(loss(np.array([0]), output))) for output in outputs]
    if BACKEND == "tensorflow":
        assert values[1] == pytest.approx(np.log1p(np.exp(-10)), rel=1e-2)
        clipped = np.clip(np.array([-1.0, -3.0]), 1e-7, 1)
        assert float(numpy(loss(np.array([0]), logits))) == pytest.approx(
            -np.log(clipped[0] / clipped.sum()), rel=1e-3
        )


class Places(keras.layers.Layer):
    def call(self, inputs):
        ascending = keras.ops.reshape(inputs[0], (-1,))
        return searching.searchsorted(ascending, keras.ops.reshape(inputs[1], (-1,)))


def test_searching():
    rows = [np.array([[1, 3, 3, 7, 9]], "int32"), np.array([[0, 1, 2, 3, 9, 10]], "int32")]
    expected = [0, 0, 1, 1, 4, 5]
    inputs = [keras.Input(batch_shape=row.shape, dtype="int32") for row in rows]
    places = keras.Model(inputs, Places()(inputs)).predict(rows, verbose=0)  # traced
    np.testing.assert_array_equal(places, expected)
    assert keras.backend.standardize_dtype(Places()(rows).dtype) == "int32"


class Nested(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.inner = keras.Sequential([keras.layers.Dense(2)])

    def call(self, inputs):
        return self.inner(inputs)


def test_sublayers():
    layer = Nested()
    layer(np.ones((1, 2)))
    kinds = [type(part) for part in sublayers.sublayers(layer)]
    assert kinds[0] is Nested
    assert keras.layers.Dense in kinds
    assert not hasattr(layer, "layers")


class Failing(keras.Sequential):
    fails = False

    def compute_loss(self, *args, **kwargs):
        if self.fails:
            raise ValueError("as a loss that refuses its labels")
        return super().compute_loss(*args, **kwargs)


class Usable(failed_steps.UsableAfterErrors, Failing):
    def fit(self, *args, **kwargs):
        with self.usable_after_error():
            return super().fit(*args, **kwargs)


def predicts_after_a_failure(cls):
    x, y = data()
    model = plain(cls)
    model.fit(x, y, verbose=0)
    model.fails, model.train_function = True, None  # traced anew
    with pytest.raises(ValueError, match="refuses its labels"):
        model.fit(x, y, verbose=0)
    model.fails = False
    try:
        return np.isfinite(model.predict(x, verbose=0)).all()
    except Exception:
        return False


def test_failed_steps():
    assert predicts_after_a_failure(Usable)
    if BACKEND == "jax":
        assert not predicts_after_a_failure(Failing)
        signature = inspect.signature(keras.Model._get_jax_state)
        assert "purge_model_variables" in signature.parameters


@only_jax
def test_jax_state():
    x, y = data()
    model = plain()
    weights = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            try:
                stale = np.array_equal(numpy(model.layers[0].kernel), weights[0])
            except TypeError:  # it was emptied
                stale = True
            jax_state.sync(model)
            weights.append((stale, numpy(model.layers[0].kernel)))

    weights.append(numpy(model.layers[0].kernel))
    model.fit(x, y, batch_size=8, callbacks=[Look()], verbose=0)
    stale, synced = weights[1]
    assert stale
    assert not np.array_equal(synced, weights[0])


class SeesRanks(keras.Sequential):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.ranks = []

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.ranks.append(y.shape.rank)
        return keras.ops.sum(y_pred)


class Retraced(label_rank.RankOfLabels, keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden = keras.layers.Dense(2)
        self.ranks = []

    def call(self, inputs):
        return self.hidden(inputs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        self.ranks.append(y.shape.rank)
        return keras.ops.sum(y_pred)

    def fit(self, x, y, **kwargs):
        self.retrace_for("train_function", y)
        return super().fit(x, y, **kwargs)


@only_tensorflow
def test_label_rank():
    x, y = data()
    for model, last in ((plain(SeesRanks), None), (Retraced(), 1)):
        model.compile("sgd")
        for labels in (y, y[:, None], y):
            model.fit(x, labels, verbose=0)
            seen = model.ranks[-1]
        assert (None in list(model.ranks)) == (last is None)
        assert last is None or seen == last


def test_initial_epoch():
    class Resumes(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            initial_epoch.begin_at(self.model, 3)

        def on_train_end(self, logs=None):
            initial_epoch.begin_at(self.model, None)

    x, y = data()
    model = plain()
    assert model.fit(x, y, epochs=5, callbacks=[Resumes()], verbose=0).epoch == [3, 4]
    assert model.fit(x, y, epochs=2, verbose=0).epoch == [0, 1]


@only_tensorflow
def test_multi_worker():
    """That the gap is there is tested with two workers, in tests/distributed."""
    import tensorflow as tf

    class Own(multi_worker.BuiltFromALocalBatch, keras.Model):
        def call(self, inputs):
            return inputs

    assert "data_batch" in inspect.signature(keras.Model._maybe_symbolic_build).parameters
    assert Own().own_strategy is None
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        assert Own().own_strategy is strategy
    assert set(multi_worker.reducible({"loss": 1.0})) == {"loss"}


def test_portable():
    config = keras.saving.serialize_keras_object(keras.optimizers.Adam(0.5))
    if BACKEND == "torch":
        assert config["module"].startswith("keras.src.backend.torch.optimizers")
    made = keras.saving.deserialize_keras_object(portable.portable({"optimizer": config}))
    assert type(made["optimizer"]) is type(keras.optimizers.Adam())
    assert portable.portable({"optimizer": config})["optimizer"]["module"] == "keras.optimizers"
