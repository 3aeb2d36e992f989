"""The class-blocked mode of the softmax and the virtual head, against the float64 oracle."""

import keras
import numpy as np
import pytest
from keras import ops as kops

import keras_vsoftmax
from keras_vsoftmax import heads
from tests import oracle, tiny
from tests.backends import BACKEND, call_head, float64_allowed, value_and_gradients
from tests.heads import cases

pytestmark = pytest.mark.core

NAMES = ("softmax", "virtual")
POINTS = {name: points for name, *points in cases.awkward_points()}
UNITS, DIM, BATCH = 23, 7, 9


def points(scale=1.0, dtype="float32", seed=0):
    rng = np.random.default_rng(seed)
    features = (scale * rng.normal(size=(BATCH, DIM))).astype(dtype)
    return features, rng.normal(size=(DIM, UNITS)).astype(dtype), rng.integers(0, UNITS, BATCH)


def blocked_head(name, kernel, block_size, dtype=None, **knobs):
    dtype = dtype or str(kernel.dtype)
    head = heads.get(name, kernel.shape[1], block_size=block_size, dtype=dtype, **knobs)
    head.build((None, kernel.shape[0]))
    head.kernel.assign(kernel)
    return head


def output_and_gradients(head, kernel, features, ids):
    """The output in training, and the gradients of the sum of the losses."""

    def losses(features, kernel):
        return -call_head(head, kernel, features, ids)[..., 0]

    value, gradients = value_and_gradients(losses, features, kernel)
    output = kops.convert_to_numpy(head(features, ids, training=True))
    np.testing.assert_allclose(-output[..., 0], value, rtol=1e-6, atol=1e-6)
    return output, *gradients


def true_gradients(name, features, kernel, ids, smoothing):
    """Gradients of the sum of the losses of Softmax and Virtual Softmax, from the formula."""
    x, w = features.astype("float64"), kernel.astype("float64")
    units = w.shape[1]
    rows = (1 - smoothing) * np.eye(units)[ids] + smoothing / units
    if name == "virtual":
        return oracle.virtual_gradients(x, w, rows)
    z = x @ w
    by_z = np.exp(z - oracle.logsumexp(z)[:, None]) - rows
    return by_z @ w.T, x.T @ by_z


def check(name, features, kernel, ids, block_size, smoothing=0.0):
    """Output and gradients, all within the design's bounds for the unblocked heads."""
    head = blocked_head(name, kernel, block_size, label_smoothing=smoothing)
    output, by_features, by_kernel = output_and_gradients(head, kernel, features, ids)
    assert output.dtype == np.float32
    assert output.shape == (len(ids), 2)
    x, w = features.astype("float64"), kernel.astype("float64")
    rows = (1 - smoothing) * np.eye(w.shape[1])[ids] + smoothing / w.shape[1]
    norm_x, norm_w = np.linalg.norm(x, axis=-1), np.linalg.norm(w, axis=0)
    size = np.maximum(np.maximum(1, norm_x * (rows @ norm_w)), (np.abs(x) @ np.abs(w)).max(-1))
    truth = oracle.losses(name, x, w, ids, smoothing=smoothing)
    assert (np.abs(-output[:, 0] - truth) <= 2e-6 * truth + 8 * cases.EPS * size).all()
    z = x @ w
    label_logit = z[np.arange(len(ids)), ids]
    z[np.arange(len(ids)), ids] = -np.inf
    highest = z.max(-1) - label_logit - truth
    assert (np.abs(output[:, 1] - highest) <= 2e-6 * truth + 8 * cases.EPS * size).all()
    true_by_x, true_by_w = true_gradients(name, features, kernel, ids, smoothing)
    by_x_bound = (1e-5 + 8 * cases.EPS * size) * norm_w.max()
    assert (np.abs(by_features - true_by_x) <= by_x_bound[:, None]).all()
    by_w_bound = ((1e-5 + 8 * cases.EPS * size) * norm_x).sum()
    assert (np.abs(by_kernel - true_by_w) <= by_w_bound).all()


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("block_size", [1, 5, UNITS, 1000])
@pytest.mark.parametrize("name", NAMES)
def test_random_points(name, block_size, smoothing):
    check(name, *points(), block_size, smoothing)


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("name", NAMES)
def test_awkward_points(name, point):
    check(name, *POINTS[point], block_size=3)


def test_many_classes():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(32, 16)).astype("float32")
    kernel = rng.normal(size=(16, 3001)).astype("float32")
    check("virtual", features, kernel, rng.integers(0, 3001, 32), block_size=256)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("name", NAMES)
def test_float64(name, smoothing):
    features, kernel, ids = points(dtype="float64")
    with float64_allowed():
        head = blocked_head(name, kernel, 5, label_smoothing=smoothing)
        output, by_features, by_kernel = output_and_gradients(head, kernel, features, ids)
    assert output.dtype == np.float64
    truth = oracle.losses(name, features, kernel, ids, smoothing=smoothing)
    np.testing.assert_allclose(-output[:, 0], truth, rtol=1e-12)
    true_by_x, true_by_w = true_gradients(name, features, kernel, ids, smoothing)
    np.testing.assert_allclose(by_features, true_by_x, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(by_kernel, true_by_w, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_mixed_precision(name, policy):
    """Products and norms of the rounded features and kernel, as in the unblocked heads."""
    features, kernel, ids = points()
    head = blocked_head(name, kernel, 5, dtype=policy)
    output, by_features, by_kernel = output_and_gradients(head, kernel, features, ids)
    half = policy.removeprefix("mixed_")
    rounded = [
        kops.convert_to_numpy(kops.cast(kops.cast(array, half), "float32"))
        for array in (features, kernel)
    ]
    assert output.dtype == np.float32
    truth = oracle.losses(name, *rounded, ids)
    np.testing.assert_allclose(-output[:, 0], truth, rtol=4e-6, atol=4e-6)
    true_by_x, true_by_w = true_gradients(name, *rounded, ids, 0.0)
    # The gradient to the features goes back through their rounding, which rounds it.
    np.testing.assert_allclose(by_features, true_by_x, rtol=1e-2, atol=1e-2)
    np.testing.assert_allclose(by_kernel, true_by_w, rtol=1e-5, atol=2e-5)


def test_leading_dimensions():
    features, kernel, ids = points()
    head = blocked_head("virtual", kernel, 5)
    flat = kops.convert_to_numpy(head(features, ids, training=True))
    cube = head(features.reshape(3, 3, DIM), ids.reshape(3, 3, 1), training=True)
    np.testing.assert_allclose(kops.convert_to_numpy(cube).reshape(-1, 2), flat, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_outside_training_it_is_plain_softmax(name):
    features, kernel, ids = points()
    head = blocked_head(name, kernel, 5, label_smoothing=0.1)
    output = kops.convert_to_numpy(head(features, ids))
    np.testing.assert_allclose(-output[:, 0], oracle.losses("softmax", features, kernel, ids), 1e-5)
    usual = kops.convert_to_numpy(head(features))
    assert usual.shape == (BATCH, UNITS)
    np.testing.assert_allclose(usual[np.arange(BATCH), ids], output[:, 0], atol=1e-5)
    assert (usual.argmax(-1) == kops.convert_to_numpy(head.predict_classes(features))).all()


def test_class_ids_are_those_of_the_first_of_equal_logits():
    kernel = np.zeros((2, 7), "float32")
    kernel[0, [2, 3, 6]] = 1
    for block_size in (1, 3, 7, None):
        head = blocked_head("softmax", kernel, block_size)
        ids = kops.convert_to_numpy(head.predict_classes(np.array([[1, 0], [-1, 0]], "float32")))
        assert ids.tolist() == [2, 0]
        assert ids.dtype == np.int32


def test_bad_ids_give_nan_and_no_gradient():
    features, kernel, ids = points()
    head = blocked_head("virtual", kernel, 5)
    bad = ids.copy()
    bad[[1, 4]] = [-1, UNITS]
    good = np.ones(BATCH, bool)
    good[[1, 4]] = False

    def losses(features, kernel):
        return -call_head(head, kernel, features, bad)[..., 0]

    value, (by_features, by_kernel) = value_and_gradients(losses, features, kernel)
    assert np.isnan(value[~good]).all()
    assert (by_features[~good] == 0).all()
    true_by_x, true_by_w = oracle.virtual_gradients(features[good], kernel, ids[good])
    np.testing.assert_allclose(by_features[good], true_by_x, atol=1e-5)
    np.testing.assert_allclose(by_kernel, true_by_w, atol=1e-5)


def test_losses_that_normalise_again_get_nan_gradients():
    features, kernel, ids = points()
    head = blocked_head("virtual", kernel, 5)
    stock = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    right = keras_vsoftmax.VirtualSoftmaxLoss(reduction=None)
    for loss, finite in ((stock, False), (right, True)):

        def losses(features, kernel, loss=loss):
            return loss(np.zeros(BATCH, "int32"), call_head(head, kernel, features, ids))

        _, (by_features, by_kernel) = value_and_gradients(losses, features, kernel)
        assert np.isfinite(by_features).all() == finite
        assert np.isfinite(by_kernel).all() == finite


def test_arguments():
    with pytest.raises(ValueError, match="block_size=0"):
        heads.Softmax(3, block_size=0)
    with pytest.raises(ValueError, match=r"block_size=2\.5"):
        heads.VirtualSoftmax(3, block_size=2.5)
    with pytest.raises(ValueError, match="block_size=True"):
        heads.VirtualSoftmax(3, block_size=True)
    head = heads.VirtualSoftmax(3, block_size=2)
    assert type(head).from_config(head.get_config()).block_size == 2
    features = np.ones((4, 2), "float32")
    with pytest.raises(ValueError, match="needs labels in training"):
        head(features, training=True)
    soft = head(features, np.ones((4, 3), "float32") / 3, training=True)
    assert np.isnan(kops.convert_to_numpy(soft)).all()


# In a Classifier.


def two_models(name="virtual", head_arguments=None, **compiling):
    """The same classifier without blocks and with."""
    arguments = head_arguments or {}
    return (
        tiny.classifier(name, head_arguments=arguments, **compiling),
        tiny.classifier(name, head_arguments={**arguments, "block_size": 2}, **compiling),
    )


@pytest.mark.parametrize("name", NAMES)
def test_fit_evaluate_and_predict_are_the_same(name):
    x, y = tiny.data()
    weight = np.linspace(0, 1, len(y)).astype("float32")
    results = []
    models = two_models(name, {"label_smoothing": 0.1}, metrics=["accuracy"])
    for model in models:
        history = model.fit(
            x, y, batch_size=10, epochs=3, sample_weight=weight, shuffle=False, verbose=0,
            validation_data=(x, y),
        ).history  # fmt: skip
        results.append([*history.values(), model.evaluate(x, y[:, None], verbose=0)])
    for one, other in zip(*results):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    tiny.assert_same_weights(*models, atol=1e-5)
    predicted = models[1].predict(x, verbose=0)
    assert predicted.shape == (len(x), tiny.UNITS)
    np.testing.assert_allclose(predicted, models[0].predict(x, verbose=0), atol=1e-5)
    for model in models:
        assert (model.predict_classes(x, verbose=0) == predicted.argmax(-1)).all()


def test_ignored_ids():
    x, y = tiny.data()
    y = np.where(np.arange(len(y)) % 5, y, -1)
    losses = []
    models = two_models(loss=keras_vsoftmax.VirtualSoftmaxLoss(ignore_class=-1))
    for model in models:
        losses.append(model.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    tiny.assert_same_weights(*models, atol=1e-5)
    with pytest.raises(ValueError, match="ignore_class=0"):
        two_models(loss=keras_vsoftmax.VirtualSoftmaxLoss(ignore_class=0))


def test_bad_labels_are_refused():
    x, y = tiny.data()
    model = two_models()[1]
    with pytest.raises(ValueError, match="Nothing was trained"):
        model.fit(x, np.where(y == 1, 7, y), verbose=0)
    with pytest.raises(ValueError, match="class ids only"):
        model.fit(x, tiny.mixup_rows(y), verbose=0)
    before = tiny.weights(model)
    with pytest.raises(ValueError, match="bad labels in epoch 1"):
        model.fit(tiny.Batches(x, np.full_like(y, -1)), verbose=0)
    for one, other in zip(before, tiny.weights(model)):
        np.testing.assert_array_equal(one, other)


def own_metric(y_true, y_pred):
    return y_pred[..., 0]


@pytest.mark.parametrize(
    "metric",
    [
        "sparse_top_k_categorical_accuracy",
        keras.metrics.SparseTopKCategoricalAccuracy(k=2),
        "sparse_categorical_crossentropy",
        "crossentropy",
        "AUC",
        keras.metrics.MeanIoU(5),
        keras.metrics.F1Score(),
    ],
)
def test_metrics_that_need_all_classes_are_refused(metric):
    with pytest.raises(ValueError, match="enough for accuracy, and of Keras's metrics for no oth"):
        two_models(metrics=[["accuracy", metric]])


def test_accuracy_in_every_form_and_metrics_of_ones_own_are_taken():
    x, y = tiny.data()
    again = keras.metrics.SparseCategoricalAccuracy(name="again")
    for model in two_models(metrics=["acc", "sparse_categorical_accuracy", again, own_metric]):
        logs = model.evaluate(x, y, verbose=0, return_dict=True)
        assert len({logs[name] for name in ("acc", "sparse_categorical_accuracy", "again")}) == 1


@pytest.mark.parametrize("options", [{"block_size": 3}, {"class_sampling": 0.5}])
@pytest.mark.parametrize("name", ["virtual", "arcface"])
def test_features_that_are_all_zero_are_not_right(name, options):
    """All logits are equal then: a network that has died would pass for the best one."""
    x, y = tiny.data(samples=12)
    model = tiny.classifier(name, units=40, head_arguments=options, metrics=["accuracy"])
    assert model.test_on_batch(x * 0, y, return_dict=True)["accuracy"] == 0
    assert model.train_on_batch(x * 0, y, return_dict=True)["accuracy"] == 0
    for scale in (1e-3, 1.0, 1e3):
        right = np.mean(model.predict_classes(x * scale, verbose=0) == y)
        found = model.test_on_batch(x * scale, y, return_dict=True)["accuracy"]
        assert found == pytest.approx(right)


def test_stock_losses_are_refused():
    stock = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    tiny.classifier("softmax", loss=stock)
    with pytest.raises(ValueError, match="takes VirtualSoftmaxLoss"):
        tiny.classifier("softmax", loss=stock, head_arguments={"block_size": 2})


def test_modes_of_running():
    x, y = tiny.data()
    modes = [{"jit_compile": False}, {"jit_compile": True}, {"run_eagerly": True}]
    modes = modes[:1] if BACKEND == "torch" else modes
    losses = [
        two_models(**mode)[1].fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"]
        for mode in modes
    ]
    for loss in losses[1:]:
        np.testing.assert_allclose(loss, losses[0], rtol=1e-5)


def test_save_and_load(tmp_path):
    x, y = tiny.data()
    model = two_models(metrics=["accuracy"])[1]
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.head.block_size == 2
    np.testing.assert_allclose(
        loaded.evaluate(x, y, verbose=0), model.evaluate(x, y, verbose=0), rtol=1e-6
    )


def test_functional_model_trains_with_zeros():
    x, y = tiny.data()
    features, label = keras.Input((tiny.DIM,)), keras.Input((), dtype="int32")
    output = heads.VirtualSoftmax(tiny.UNITS, block_size=2)(features, label)
    assert output.shape == (None, 2)
    model = keras.Model([features, label], output)
    model.compile(
        keras.optimizers.SGD(0.1), keras_vsoftmax.VirtualSoftmaxLoss(), metrics=["accuracy"]
    )
    history = model.fit([x, y], np.zeros_like(y), epochs=30, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["accuracy"][-1] > 0.9
