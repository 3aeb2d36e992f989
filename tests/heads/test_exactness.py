"""Losses and gradients of every head against the float64 oracle, within the design's bounds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops as kops

from keras_vsoftmax import heads
from tests import oracle
from tests.backends import BACKEND, float64_allowed, losses_and_gradients
from tests.heads import cases

pytestmark = pytest.mark.core

# JAX compiles every operation again for every new shape.
EXAMPLES = 6 if BACKEND == "jax" else 30
NAMES = heads.NAMES
ANNEALED = cases.ANNEALED
POINTS = {name: points for name, *points in cases.awkward_points()}


def noise_of(head, shape, step=0):
    """The draw that the head makes at this step; its law is tested elsewhere."""
    if not isinstance(head, heads.NoisySoftmax):
        return 0.0
    before = kops.convert_to_numpy(head.step)
    head.step.assign(step)
    # With f(cos) = cos - alpha (1 - cos) |xi|, the cosine 0 gives -alpha |xi|.
    draw = kops.convert_to_numpy(head.modified_cosine(kops.zeros(shape, head.output_dtype), None))
    head.step.assign(before)
    return -draw / head.alpha if head.alpha else 0.0


def true_losses(name, head, features, kernel, labels, **knobs):
    noise = noise_of(head, (len(labels),))
    lam = head.current_lambda if hasattr(head, "current_lambda") else 0.0
    return oracle.losses(
        name,
        features,
        kernel,
        labels,
        smoothing=head.label_smoothing,
        lam=lam,
        noise=noise,
        **knobs,
    )


def check_losses(name, features, kernel, ids, smoothing=0.0, lam=None):
    knobs = cases.KNOBS[name]
    kernel = cases.widened(name, kernel)
    head = cases.make(name, kernel, smoothing, lam, **knobs)
    truth = true_losses(name, head, features, kernel, ids, **knobs)
    value, by_features, by_kernel = losses_and_gradients(head, kernel, features, ids)
    assert value.dtype == np.float32
    bound = cases.loss_bound(name, features, kernel, ids, knobs, truth)
    np.testing.assert_array_less(np.abs(value - truth), bound)
    assert np.isfinite(by_features).all()
    assert np.isfinite(by_kernel).all()
    return value, by_features, by_kernel


def test_literal_values():
    kernel = np.array([[1, 0, -1], [0, 1, -1]], "float32")
    features = np.array([[2, 1], [0, 0], [-3, 4]], "float32")
    value, by_features, by_kernel = losses_and_gradients(
        heads.VirtualSoftmax(3), kernel, features, np.array([0, 1, 2])
    )
    np.testing.assert_allclose(value, [0.9711113, 1.3862944, 8.1167353], rtol=2e-7)
    assert np.isfinite(by_features).all()
    assert np.isfinite(by_kernel).all()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("name", NAMES)
def test_losses_at_awkward_points(name, point):
    check_losses(name, *POINTS[point])


@pytest.mark.parametrize("name", NAMES)
def test_losses_at_random_points(name):
    largest = (32, 64, 100) if BACKEND == "jax" else (64, 512, 2000)
    count = 2 if BACKEND == "jax" else 8
    for points in cases.random_points(count, seed=3, largest=largest):
        check_losses(name, *points)


@pytest.mark.parametrize("lam", [0.0, 5.0])
@pytest.mark.parametrize("name", ANNEALED)
def test_losses_with_the_margin_blended_in(name, lam):
    check_losses(name, *POINTS["random"], lam=lam)
    check_losses(name, *POINTS["against the class vector"], lam=lam)


@pytest.mark.parametrize("name", NAMES)
def test_label_smoothing_is_exact(name):
    if not cases.smooths(name):
        pytest.skip("its loss is no cross-entropy over a row")
    check_losses(name, *POINTS["random"], smoothing=0.1, lam=1.0 if name in ANNEALED else None)
    check_losses(name, *POINTS["zero features"], smoothing=0.3)


def check_virtual(features, kernel, labels):
    """Losses and gradients of the virtual head, all within the design's bounds."""
    head = cases.make("virtual", kernel)
    value, by_features, by_kernel = losses_and_gradients(head, kernel, features, labels)
    truth = oracle.losses("virtual", features, kernel, labels)
    true_by_features, true_by_kernel = oracle.virtual_gradients(features, kernel, labels)
    x, w = features.astype("float64"), kernel.astype("float64")
    norm_x, norm_w = np.linalg.norm(x, axis=-1), np.linalg.norm(w, axis=0)
    rows = labels if labels.ndim == 2 else np.eye(w.shape[1])[labels]
    size = np.maximum(np.maximum(1, norm_x * (rows @ norm_w)), (np.abs(x) @ np.abs(w)).max(-1))
    assert (np.abs(value - truth) <= 2e-6 * truth + 8 * cases.EPS * size).all()
    by_x_bound = (1e-5 + 8 * cases.EPS * size) * norm_w.max()
    assert (np.abs(by_features - true_by_features) <= by_x_bound[:, None]).all()
    by_w_bound = ((1e-5 + 8 * cases.EPS * size) * norm_x).sum()
    assert (np.abs(by_kernel - true_by_kernel) <= by_w_bound).all()
    assert (value >= np.log(2) - 8 * cases.EPS * size).all()


@pytest.mark.parametrize("point", POINTS)
def test_virtual_gradients_at_awkward_points(point):
    check_virtual(*POINTS[point])


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    batch=st.integers(1, 64),
    dim=st.integers(1, 512),
    classes=st.integers(2, 2000),
    scale=st.sampled_from([1e-6, 1e-3, 1.0, 30.0, 1e4]),
    aligned=st.booleans(),
    soft=st.booleans(),
)
def test_virtual_over_a_sweep(seed, batch, dim, classes, scale, aligned, soft):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=(dim, classes)).astype("float32")
    ids = rng.integers(0, classes, batch)
    features = kernel[:, ids].T if aligned else rng.normal(size=(batch, dim))
    labels = ids
    if soft:
        labels = 0.7 * np.eye(classes)[ids] + 0.3 * np.eye(classes)[ids[::-1]]
        labels = labels.astype("float32")
    check_virtual((features * scale).astype("float32"), kernel, labels)


def test_leading_dimensions_beyond_one():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    kernel = rng.normal(size=(5, 6)).astype("float32")
    ids = rng.integers(0, 6, (2, 3, 4))
    for name in NAMES:
        wide = cases.widened(name, kernel)
        head = cases.make(name, wide, **cases.KNOBS[name])
        flat = cases.make(name, wide, **cases.KNOBS[name])
        value, by_features, by_kernel = losses_and_gradients(head, wide, features, ids)
        flat_value, flat_by_features, flat_by_kernel = losses_and_gradients(
            flat, wide, features.reshape(-1, 5), ids.reshape(-1)
        )
        assert value.shape == ids.shape
        if name != "noisy":  # which draws for another shape
            np.testing.assert_allclose(value.reshape(-1), flat_value, rtol=1e-5)
            np.testing.assert_allclose(by_features.reshape(-1, 5), flat_by_features, atol=1e-4)
            np.testing.assert_allclose(by_kernel, flat_by_kernel, atol=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_in_float64_agree_with_finite_differences(name, smoothing):
    if smoothing and not cases.smooths(name):
        pytest.skip("its loss is no cross-entropy over a row")
    rng = np.random.default_rng(11)
    features, kernel = rng.normal(size=(4, 3)), cases.widened(name, rng.normal(size=(3, 5)))
    ids = np.array([0, 3, 4, 3])
    knobs = cases.KNOBS[name]
    with float64_allowed():
        head = cases.make(name, kernel, smoothing, 0.5 if name in ANNEALED else None, **knobs)
        noise = noise_of(head, (4,))
        lam = getattr(head, "current_lambda", 0.0)
        value, by_features, by_kernel = losses_and_gradients(head, kernel, features, ids)
    knobs = {**knobs, "lam": lam, "noise": noise}
    # What no gradient flows through stays as it is here.
    knobs |= oracle.parts(name, features, kernel, ids, **knobs)[0].state

    def total(features, kernel):
        return oracle.losses(name, features, kernel, ids, smoothing=smoothing, **knobs).sum()

    assert value.dtype == np.float64
    np.testing.assert_allclose(value.sum(), total(features, kernel), rtol=1e-12)
    expected = oracle.finite_differences(lambda x: total(x, kernel), features, 1e-6)
    np.testing.assert_allclose(by_features, expected, atol=2e-7 * max(1, np.abs(expected).max()))
    expected = oracle.finite_differences(lambda w: total(features, w), kernel, 1e-6)
    np.testing.assert_allclose(by_kernel, expected, atol=2e-7 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("name", NAMES)
def test_float32_gradients_along_random_directions(name):
    """Float32 gradients, projected on directions, against differences of the oracle.

    The design's bound for a gradient to x is (1e-5 + 8 eps M) max_j ||W_j||; here a head's
    logits vary with x by at most `slope` ||dx|| in its place, and some by `steepness` times more.
    """
    knobs = cases.KNOBS[name]
    rng = np.random.default_rng(2)
    kernel = cases.widened(name, rng.normal(size=(16, 40)).astype("float32"))
    ids = rng.integers(0, 40, 8)
    for scale in (0.1, 1.0, 10.0):
        features = (rng.normal(size=(8, 16)) * scale).astype("float32")
        head = cases.make(name, kernel, lam=0.0 if name in ANNEALED else None, **knobs)
        noise = noise_of(head, (8,))
        _, by_features, by_kernel = losses_and_gradients(head, kernel, features, ids)
        lam = getattr(head, "current_lambda", 0.0)
        x, w = features.astype("float64"), kernel.astype("float64")
        given = {**knobs, "lam": lam, "noise": noise}
        parts, _ = oracle.parts(name, x, w, ids, **given)
        given |= parts.state

        def total(x, w, given=given):
            return oracle.losses(name, x, w, ids, **given).sum()

        norm_x, norm_w = np.linalg.norm(x, axis=-1), np.linalg.norm(w, axis=0)
        steep = parts.steepness * parts.conditioning
        relative = (1e-5 + 8 * cases.EPS * parts.size) * steep
        slope_x = norm_w.max() if parts.scale is None else parts.scale / norm_x
        slope_w = norm_x if parts.scale is None else parts.scale / norm_w.min()
        for _ in range(4):
            direction = rng.normal(size=x.shape)
            step = 1e-6 * scale
            expected = (total(x + step * direction, w) - total(x - step * direction, w)) / (
                2 * step
            )
            bound = (relative * slope_x * np.linalg.norm(direction, axis=-1)).sum()
            assert abs((by_features * direction).sum() - expected) <= bound
            direction = rng.normal(size=w.shape)
            expected = (total(x, w + 1e-6 * direction) - total(x, w - 1e-6 * direction)) / 2e-6
            bound = (relative * slope_w).sum() * np.linalg.norm(direction, axis=0).max()
            assert abs((by_kernel * direction).sum() - expected) <= bound
