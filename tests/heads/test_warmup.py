"""The virtual class that comes in over the first steps, and not wholly."""

import keras
import numpy as np
import pytest

from keras_vsoftmax import heads
from tests import oracle
from tests.backends import losses_and_gradients
from tests.heads import cases

pytestmark = pytest.mark.core

NAMES = ["virtual", "synthetic_virtual"]
STEPS = 4


def make(name, kernel, step, **knobs):
    """A head whose next training step has this number."""
    head = cases.make(name, kernel, **knobs)
    head.step.assign(step)
    return head


def _knobs(name):
    return cases.KNOBS[name]


@pytest.mark.parametrize("step", [0, 1])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_that_of_the_formula(name, smoothing, step):
    r = min(1.0, step / STEPS)
    for point, features, kernel, ids in cases.awkward_points():
        knobs = _knobs(name)
        head = make(name, kernel, step, label_smoothing=smoothing, warmup_steps=STEPS, **knobs)
        got, by_features, by_kernel = losses_and_gradients(head, kernel, features, ids)
        truth = oracle.losses(name, features, kernel, ids, smoothing, r=r, **knobs)
        bound = cases.loss_bound(name, features, kernel, ids, knobs, truth)
        assert (np.abs(got - truth) <= bound).all(), point
        assert np.isfinite(by_features).all(), point
        assert np.isfinite(by_kernel).all(), point


@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_gradients_equal_finite_differences(smoothing, step):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(5, 4)).astype("float32")
    kernel = rng.normal(size=(4, 3)).astype("float32")
    ids = np.array([0, 1, 2, 0, 1])
    head = make("virtual", kernel, step, label_smoothing=smoothing, warmup_steps=STEPS)
    _, by_features, by_kernel = losses_and_gradients(head, kernel, features, ids)

    def loss(features, kernel):
        return oracle.losses("virtual", features, kernel, ids, smoothing, r=step / STEPS).sum()

    x, w = features.astype("float64"), kernel.astype("float64")
    truth = oracle.finite_differences(lambda x: loss(x, w), x, 1e-6)
    np.testing.assert_allclose(by_features, truth, atol=1e-5)
    truth = oracle.finite_differences(lambda w: loss(x, w), w, 1e-6)
    np.testing.assert_allclose(by_kernel, truth, atol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("name", NAMES)
def test_a_part_of_it_is_that_of_the_formula(name, smoothing):
    knobs = {**_knobs(name), "strength": 0.3}
    for point, features, kernel, ids in cases.awkward_points():
        head = cases.make(name, kernel, smoothing, **knobs)
        got, *gradients = losses_and_gradients(head, kernel, features, ids)
        truth = oracle.losses(name, features, kernel, ids, smoothing, r=0.3, **_knobs(name))
        bound = cases.loss_bound(name, features, kernel, ids, _knobs(name), truth)
        assert (np.abs(got - truth) <= bound).all(), point
        assert all(np.isfinite(gradient).all() for gradient in gradients), point


def test_the_loss_of_a_part_stays_above_its_floor():
    kernel = 4 * np.eye(3, dtype="float32")  # the other classes' exp(-16) are not seen
    head = cases.make("virtual", kernel, strength=0.3)
    losses, *_ = losses_and_gradients(head, kernel, kernel.T, np.arange(3))
    np.testing.assert_allclose(losses, np.log(1.3), atol=1e-5)


def test_a_part_comes_in_over_the_first_steps():
    _, features, kernel, ids = next(cases.awkward_points())
    knobs = {"strength": 0.5, "warmup_steps": STEPS}
    for step, r in ((1, 0.125), (STEPS, 0.5), (9 * STEPS, 0.5)):
        head = make("virtual", kernel, step, **knobs)
        assert head.current_strength == r
        got, _, _ = losses_and_gradients(head, kernel, features, ids)
        truth = oracle.losses("virtual", features, kernel, ids, r=r)
        bound = cases.loss_bound("virtual", features, kernel, ids, {}, truth)
        assert (np.abs(got - truth) <= bound).all()


@pytest.mark.parametrize("name", NAMES)
def test_it_begins_as_the_plain_softmax_and_ends_as_the_head(name):
    _, features, kernel, ids = next(cases.awkward_points())
    plain = losses_and_gradients(cases.make("softmax", kernel), kernel, features, ids)
    whole = losses_and_gradients(cases.make(name, kernel, **_knobs(name)), kernel, features, ids)
    for step, expected in ((0, plain), (STEPS, whole), (10 * STEPS, whole)):
        head = make(name, kernel, step, warmup_steps=STEPS, **_knobs(name))
        for a, b in zip(losses_and_gradients(head, kernel, features, ids), expected):
            np.testing.assert_allclose(a, b, atol=2e-6)


def test_rows_are_taken_while_it_comes_in():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(6, 4)).astype("float32")
    kernel = rng.normal(size=(4, 3)).astype("float32")
    rows = rng.dirichlet(np.ones(3), 6).astype("float32")
    head = make("virtual", kernel, 2, warmup_steps=STEPS)
    got, _, _ = losses_and_gradients(head, kernel, features, rows)
    np.testing.assert_allclose(got, oracle.losses("virtual", features, kernel, rows, r=0.5), 1e-5)


def test_training_passes_alone_are_counted():
    _, features, kernel, ids = next(cases.awkward_points())
    head = cases.make("virtual", kernel, warmup_steps=2)
    seen = []
    for _ in range(3):
        seen.append(head.current_strength)
        head(features, ids, training=True)
        head(features)
        head(features, ids, training=False)
    assert seen == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_without_it_a_file_holds_the_kernel_alone(strength):
    assert len(cases.make("virtual", np.ones((3, 2), "float32"), strength=strength).weights) == 1


@pytest.mark.parametrize("name", NAMES)
def test_config_round_trip(name):
    head = heads.get(name, 5, warmup_steps=7, strength=0.25)
    again = type(head).from_config(head.get_config())
    assert (again.warmup_steps, again.strength) == (7, 0.25)


@pytest.mark.parametrize(
    "knobs",
    [
        {"warmup_steps": -1},
        {"warmup_steps": 1.5},
        {"strength": 0},
        {"strength": 1.1},
        {"strength": float("nan")},
    ],
)
@pytest.mark.parametrize("name", NAMES)
def test_bad_values_are_refused(name, knobs):
    (knob,) = knobs
    with pytest.raises(ValueError, match=f"`{knob}` must be .*Received: {knob}="):
        heads.get(name, 5, **knobs)


@pytest.mark.parametrize("steps", [(0, 5), (5, 0)])
def test_weights_with_and_without_it_are_told_apart(steps, tmp_path):
    wrote, reads = (
        keras.Sequential([keras.Input((4,)), heads.get("virtual", 3, warmup_steps=each)])
        for each in steps
    )
    wrote.save_weights(tmp_path / "head.weights.h5")
    with pytest.raises(ValueError, match="a warm-up, for one, adds a step"):
        reads.load_weights(tmp_path / "head.weights.h5")
