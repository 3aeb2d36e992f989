"""The pure functions: against NumPy, and where norms and angles are at their limits."""

import numpy as np
import pytest
from keras import ops as kops

from keras_vsoftmax import numerics
from tests import oracle
from tests.backends import float64_allowed, value_and_gradients

pytestmark = pytest.mark.core

RNG = np.random.default_rng(0)
X = RNG.normal(size=(5, 4))
X[2] = 0
W = RNG.normal(size=(4, 3))
W[:, 1] = 0
IDS = np.array([0, 1, 2, 2, 1], "int32")
NAMES = ["norm", "unit", "label_norms", "unit_class_logits", "pick", "product"]


def function(name, ids=IDS):
    return {
        "norm": lambda x, w: numerics.norm(x),
        "unit": lambda x, w: numerics.unit(x),
        "label_norms": lambda x, w: numerics.label_norms(w, kops.convert_to_tensor(ids)),
        "unit_class_logits": lambda x, w: numerics.unit_class_logits(x, w),
        "pick": lambda x, w: numerics.pick(x, kops.convert_to_tensor(ids)),
        "product": lambda x, w: numerics.product(x, w),
    }[name]


def reference(name, x, w):
    return {
        "norm": lambda: np.linalg.norm(x, axis=-1),
        "unit": lambda: oracle.unit(x, -1),
        "label_norms": lambda: np.linalg.norm(w, axis=0)[IDS],
        "unit_class_logits": lambda: x @ oracle.unit(w, 0),
        "pick": lambda: x[np.arange(5), IDS],
        "product": lambda: x @ w,
    }[name]()


@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients(name):
    weights = np.random.default_rng(1).normal(size=reference(name, X, W).shape)
    with float64_allowed():
        scale = kops.convert_to_tensor(weights)
        value, (by_x, by_w) = value_and_gradients(lambda x, w: function(name)(x, w) * scale, X, W)
    np.testing.assert_allclose(value, reference(name, X, W) * weights, rtol=1e-12, atol=1e-12)
    # At the zero vectors the gradient of a norm is 0, which differences find as well for a
    # norm, by symmetry; for directions of zero vectors it is set to 0.
    expected = oracle.finite_differences(lambda x: (reference(name, x, W) * weights).sum(), X, 1e-6)
    keep = [0, 1, 3, 4] if name == "unit" else slice(None)
    np.testing.assert_allclose(by_x[keep], expected[keep], atol=1e-7)
    expected = oracle.finite_differences(lambda w: (reference(name, X, w) * weights).sum(), W, 1e-6)
    keep = [0, 2] if name == "unit_class_logits" else slice(None)
    np.testing.assert_allclose(by_w[:, keep], expected[:, keep], atol=1e-7)
    assert np.isfinite(by_x).all()
    assert np.isfinite(by_w).all()


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1e4, 1e15])
def test_norms_over_the_range_of_float32(scale):
    x = (X * scale).astype("float32")
    value, (gradient,) = value_and_gradients(numerics.norm, x)
    np.testing.assert_allclose(value, np.linalg.norm(x.astype("float64"), axis=-1), rtol=1e-6)
    np.testing.assert_allclose(gradient, oracle.unit(x.astype("float64"), -1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("margin", [1, 2, 3, 4, 5])
def test_multiple_angle_margin(margin):
    theta = np.linspace(0, np.pi, 200)
    with float64_allowed():
        cosine = kops.convert_to_tensor(np.cos(theta), "float64")
        value = kops.convert_to_numpy(numerics.multiple_angle_margin(cosine, margin))
    np.testing.assert_allclose(value, oracle.psi(theta, margin), atol=1e-12)
    assert (np.diff(value) < 1e-12).all()
    assert value[0] == pytest.approx(1)
    assert value[-1] == pytest.approx(1 - 2 * margin)


def test_multiple_angle_margin_beyond_the_ends_by_rounding():
    cosine = np.array([1 + 2e-7, -1 - 2e-7], "float32")
    for margin in range(1, 6):
        value, (gradient,) = value_and_gradients(
            lambda c, m=margin: numerics.multiple_angle_margin(c, m), cosine
        )
        np.testing.assert_allclose(value, [1, 1 - 2 * margin], atol=1e-4)
        np.testing.assert_allclose(gradient, margin**2, rtol=1e-3)


def test_sine_and_cosine_at_their_limits():
    value, (gradient,) = value_and_gradients(
        numerics.sine, np.array([1, -1, 0, 1 + 2e-7, 0.6], "float32")
    )
    np.testing.assert_allclose(value, [0, 0, 1, 0, 0.8], atol=1e-6)
    np.testing.assert_allclose(gradient, [0, 0, 0, 0, -0.75], atol=1e-6)
    value, gradients = value_and_gradients(
        numerics.cosine, np.array([0.0, 3.0], "float32"), np.array([0.0, 4.0], "float32")
    )
    np.testing.assert_allclose(value, [0, 0.75])
    np.testing.assert_allclose(gradients, [[0, 0.25], [0, -3 / 16]])


def test_literal_form_is_the_same_loss():
    rng = np.random.default_rng(3)
    x, w = rng.normal(size=(6, 5)).astype("float32"), rng.normal(size=(5, 7)).astype("float32")
    ids = rng.integers(0, 7, 6).astype("int32")
    logits = kops.convert_to_numpy(numerics.literal_logits(x, w, ids)).astype("float64")
    assert logits.shape == (6, 8)
    losses = oracle.logsumexp(logits) - logits[np.arange(6), ids]
    np.testing.assert_allclose(losses, oracle.losses("virtual", x, w, ids), rtol=1e-6)


def test_log_probs_take_huge_and_tiny_logits():
    logits = np.array([[1e30, -1e30, 0], [-1e30, -1e30, -1e30], [1e-30, 0, 0]], "float32")
    valid = np.ones(3, bool)
    value, (gradient,) = value_and_gradients(
        lambda z: numerics.pick(
            numerics.log_probs(z, kops.convert_to_tensor(valid)),
            kops.convert_to_tensor(np.array([0, 1, 2], "int32")),
        ),
        logits,
    )
    np.testing.assert_allclose(value, [0, -np.log(3), -np.log(3)], rtol=1e-6)
    p = [[1, 0, 0], [1 / 3] * 3, [1 / 3] * 3]
    np.testing.assert_allclose(gradient, np.eye(3) - p, atol=1e-6)
