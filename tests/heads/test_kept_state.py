"""What heads keep from step to step: moving averages, scales, the bias of SphereFace2."""

import keras
import numpy as np
import pytest
from keras import ops as kops

import keras_vsoftmax
from keras_vsoftmax import heads
from keras_vsoftmax.heads import global_batch
from tests import oracle
from tests.backends import float64_allowed, losses_and_gradients, value_and_gradients
from tests.heads import cases

pytestmark = pytest.mark.core

STATE = {
    "curricular": {"progress": 0.0},
    "adaface": {"length_mean": 20.0, "length_deviation": 100.0},
    "adacos": {"moving_scale": np.sqrt(2) * np.log(4)},
}


def points(batch=9, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(batch, 4)).astype("float32")
    return features, rng.normal(size=(4, 5)).astype("float32"), rng.integers(0, 5, batch)


def state(head):
    names = STATE[next(name for name in STATE if heads.find(name) is type(head))]
    return {name: float(kops.convert_to_numpy(getattr(head, name))) for name in names}


def expected(name, before, features, kernel, ids):
    """What is kept after a step, from the formula."""
    x, w = features.astype("float64"), kernel.astype("float64")
    theta = oracle.angle(x, w, ids)
    if name == "curricular":
        return {"progress": 0.99 * before["progress"] + 0.01 * np.cos(theta).mean()}
    if name == "adaface":
        length = np.clip(np.linalg.norm(x, axis=-1), 0.001, 100)
        return {
            "length_mean": 0.99 * before["length_mean"] + 0.01 * length.mean(),
            "length_deviation": 0.99 * before["length_deviation"] + 0.01 * length.std(ddof=1),
        }
    others = np.exp(before["moving_scale"] * oracle.unit(x, -1) @ oracle.unit(w, 0))
    others[np.arange(len(ids)), ids] = 0
    median = np.sort(theta)[(len(ids) - 1) // 2]
    scale = np.log(others.sum(-1).mean()) / np.cos(min(median, np.pi / 4))
    return {"moving_scale": max(scale, np.sqrt(2) * np.log(4) / 2)}


@pytest.mark.parametrize("batch", [8, 9])
@pytest.mark.parametrize("name", STATE)
def test_it_moves_by_the_valid_rows_of_training_passes(name, batch):
    features, kernel, ids = points(batch)
    head = cases.make(name, kernel)
    assert state(head) == pytest.approx(STATE[name], rel=1e-6)
    bad = ids.copy()
    bad[[1, 4]] = [-1, 5]
    good = (bad >= 0) & (bad < 5)
    for _ in range(3):
        truth = expected(name, state(head), features[good], kernel, ids[good])
        head(features, bad, training=True)
        assert state(head) == pytest.approx(truth, rel=1e-5)
    before = state(head)
    head(features, ids, training=False)
    head(features)
    head(features, np.full_like(ids, -1), training=True)  # no valid row
    assert state(head) == before


@pytest.mark.parametrize("name", STATE)
def test_the_step_uses_what_it_has_just_brought_up_to_date(name):
    features, kernel, ids = points()
    head = cases.make(name, kernel)
    value, _, _ = losses_and_gradients(head, kernel, features, ids)
    truth = oracle.losses(name, features, kernel, ids, **cases.KNOBS[name])
    np.testing.assert_allclose(value, truth, rtol=1e-4, atol=1e-5)


def test_one_row_has_a_mean_and_no_deviation():
    features, kernel, ids = points(1)
    head = cases.make("adaface", kernel)
    head(features, ids, training=True)
    length = np.linalg.norm(features)
    assert state(head) == pytest.approx(
        {"length_mean": 0.99 * 20 + 0.01 * length, "length_deviation": 100.0}
    )


def test_statistics_of_the_global_batch():
    values = np.array([3.0, 1.0, 7.0, 100.0, 2.0], "float32")
    valid = np.array([True, True, True, False, True])
    values, valid = kops.convert_to_tensor(values), kops.convert_to_tensor(valid)
    mean, deviation, count = map(float, global_batch.mean_and_deviation(values, valid))
    assert (mean, count) == (3.25, 4)
    assert deviation == pytest.approx(np.std([3, 1, 7, 2], ddof=1))
    assert float(global_batch.lower_median(values, valid)[0]) == 2
    assert float(global_batch.lower_median(values, values > 1)[0]) == 3
    none = kops.zeros_like(valid)
    assert [float(x) for x in global_batch.mean_and_deviation(values, none)] == [0, 0, 0]
    assert float(global_batch.lower_median(values, none)[1]) == 0


@pytest.mark.parametrize("units", [2, 3, 10])
def test_the_scale_of_adacos_stays_positive_with_few_classes(units):
    head = heads.get("adacos", units)
    kernel = np.eye(8, units, dtype="float32") - 1 / units  # as far apart as can be
    head.build((None, 8))
    head.kernel.assign(kernel)
    first = np.sqrt(2) * np.log(max(units - 1, 2))
    assert float(head.moving_scale) == pytest.approx(first)
    ids = np.arange(12) % units
    for features in (kernel[:, ids].T, -kernel[:, ids].T, np.ones((12, 8), "float32")):
        for _ in range(5):
            output = kops.stop_gradient(head(features, ids, training=True))
            assert np.isfinite(kops.convert_to_numpy(output)).all()
            assert float(head.moving_scale) >= first / 2 * (1 - 1e-6)


# SphereFace2.


def test_the_bias_begins_where_its_gradient_is_zero_at_right_angles():
    for units in (2, 10, 1000):
        with float64_allowed():
            head = heads.get("sphereface2", units, dtype="float64")
            head.build((None, 4))
            zeros, ids = np.zeros((1, 4)), np.array([1])
            kernel = np.ones((4, units))

            def loss(bias, head=head, zeros=zeros, ids=ids, kernel=kernel):
                output, _ = head.stateless_call([kernel, bias], [], zeros, ids, training=True)
                return -output[:, 1]

            bias = np.array(head.first_bias)
            np.testing.assert_allclose(kops.convert_to_numpy(head.bias), bias, rtol=1e-12)
            _, (gradient,) = value_and_gradients(loss, bias)
        assert abs(gradient) < 1e-9


def test_sphereface2_is_no_softmax_in_training_and_one_elsewhere():
    features, kernel, ids = points()
    head = cases.make("sphereface2", kernel)
    z = oracle.plain_logits("sphereface2", features, kernel, ids, **cases.KNOBS["sphereface2"])
    np.testing.assert_allclose(
        kops.convert_to_numpy(head(features, ids)), z - oracle.logsumexp(z)[:, None], atol=1e-4
    )
    with pytest.raises(ValueError, match=r"`label_smoothing` must be 0.*Received"):
        heads.get("sphereface2", 5, label_smoothing=0.1)


# Weights that are trained.


@pytest.mark.parametrize(
    ("name", "knobs"), [("normface", {"scale": "learned"}), ("sphereface2", {})]
)
def test_a_weight_beside_the_kernel_is_trained_and_saved(name, knobs, tmp_path):
    features, _, ids = points(24)
    backbone = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model = keras_vsoftmax.Classifier(backbone, heads.get(name, 5, **knobs))
    model.compile(keras.optimizers.SGD(0.01))
    (weight,) = model.head.trainable_variables[1:]
    before = float(kops.convert_to_numpy(weight))
    model.fit(features, ids, epochs=2, verbose=0)
    after = float(kops.convert_to_numpy(weight))
    assert after != before
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.head.get_config() == model.head.get_config()
    assert float(kops.convert_to_numpy(loaded.head.trainable_variables[1])) == after


def test_the_learned_scale_has_the_gradient_of_the_formula():
    features, kernel, ids = points()
    with float64_allowed():
        x, w = features.astype("float64"), kernel.astype("float64")
        head = heads.get("normface", 5, scale="learned", dtype="float64")
        head.build((None, 4))

        def losses(scale):
            output, _ = head.stateless_call([w, scale], [], x, ids, training=True)
            return -kops.take_along_axis(output, kops.convert_to_tensor(ids[:, None]), axis=-1)

        value, (gradient,) = value_and_gradients(losses, np.array(8.0))
    np.testing.assert_allclose(
        value[:, 0], oracle.losses("normface", x, w, ids, scale=8.0), rtol=1e-10
    )
    there, back = (oracle.losses("normface", x, w, ids, scale=8 + d).sum() for d in (1e-5, -1e-5))
    np.testing.assert_allclose(gradient, (there - back) / 2e-5, rtol=1e-7)


def test_only_normface_learns_its_scale():
    with pytest.raises(
        ValueError, match=r"`scale` must be a finite number.*Received: scale='learned'"
    ):
        heads.get("arcface", 5, scale="learned")
    with pytest.raises(
        ValueError, match=r"`scale` must be a finite number.*Received: scale='free'"
    ):
        heads.get("normface", 5, scale="free")


# MagFace's regulariser.


def test_the_pull_on_the_length_is_part_of_the_loss():
    features, kernel, ids = points()
    features *= 12
    with_pull, without = (cases.make("magface", kernel, pull=pull) for pull in (35.0, 0.0))
    loss = keras_vsoftmax.VirtualSoftmaxLoss(reduction=None, ignore_class=-1)
    labels, weights = ids.copy(), np.linspace(0, 2, 9).astype("float32")
    labels[2] = -1
    values = [
        losses_and_gradients(head, kernel, features, labels, lambda y, p: loss(y, p, weights))[0]
        for head in (with_pull, without)
    ]
    a = np.clip(np.linalg.norm(features, axis=-1), 10, 110)
    pull = weights * 35 * (1 / a + a / 110**2)
    pull[2] = 0
    np.testing.assert_allclose(values[0] - values[1], pull, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("subcenter_arcface", {"sub_centers": 0}),
        ("subcenter_arcface", {"sub_centers": 2.5}),
        ("adaface", {"concentration": 0}),
        ("adaface", {"margin": 2}),
        ("magface", {"high_margin": 0.1}),
        ("magface", {"pull": -1}),
        ("sphereface2", {"balance": 1}),
        ("sphereface2", {"power": 0.5}),
        ("sphereface2", {"loss_weight": 0}),
    ],
)
def test_a_knob_outside_its_range(name, knobs):
    ((knob, value),) = knobs.items()
    with pytest.raises(ValueError, match=f"`{knob}` must be .*Received: {knob}={value!r}"):
        heads.get(name, 5, **knobs)


def test_one_sub_center_is_arcface():
    features, kernel, ids = points()
    knobs = {"margin": 0.3, "scale": 10.0}
    ours = heads.get("subcenter_arcface", 5, sub_centers=1, **knobs)
    ours.build((None, 4))
    ours.kernel.assign(kernel)
    theirs = cases.make("arcface", kernel, **knobs)
    for a, b in zip(
        losses_and_gradients(ours, kernel, features, ids),
        losses_and_gradients(theirs, kernel, features, ids),
    ):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["adacos", "adaface", "curricular"])
def test_features_that_are_not_finite_leave_nothing_behind(name):
    features = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    ids = np.array([0, 1, 2, 0, 1, 2])
    head = heads.get(name, 3)
    head(features, ids, training=True)
    features[2] = np.nan
    head(features, ids, training=True)
    assert all(np.isfinite(keras.ops.convert_to_numpy(w)).all() for w in head.weights)


def test_adacos_takes_no_scale():
    with pytest.raises(ValueError, match="Received: scale=64"):
        heads.get("adacos", 3, scale=64)
