"""Gradient penalties: second derivatives of every head against float64 finite differences."""

import numpy as np
import pytest
from keras import ops as kops

from keras_vsoftmax import VirtualSoftmaxLoss, heads, numerics
from tests.backends import (
    BACKEND,
    call_head,
    float64_allowed,
    penalty_and_gradients,
    value_and_gradients,
)
from tests.heads import cases

pytestmark = pytest.mark.core


# What no gradient flows through, by the method that gives it: fixed here, since differences of
# the first derivatives would see it move.
FIXED = {
    "curricular": ("advanced", 0.3),
    "adaface": ("quality", np.array([0.4, -0.7, 0.1, -0.2])),
    "adacos": ("next_scale", 2.5),
}


def points(dtype="float64", name="softmax"):
    rng = np.random.default_rng(4)
    features = rng.normal(size=(4, 3)).astype(dtype)
    kernel = cases.widened(name, rng.normal(size=(3, 5)).astype(dtype))
    return features, kernel, np.array([0, 3, 4, 3])


def losses_of(head, labels):
    loss = VirtualSoftmaxLoss(reduction=None)
    return lambda features, kernel: loss(labels, call_head(head, kernel, features, labels))


def check(function, features, kernel, compiled=False):
    """Value and gradients of a penalty, along directions, against differences of the first."""

    def penalty(features, kernel):
        _, first = value_and_gradients(function, features, kernel)
        return sum((gradient**2).sum() for gradient in first)

    rng = np.random.default_rng(8)
    with float64_allowed():
        value, gradients = penalty_and_gradients(function, features, kernel, compiled=compiled)
        np.testing.assert_allclose(value, penalty(features, kernel), rtol=1e-9)
        for _ in range(2):
            by_x, by_w = (rng.normal(size=array.shape) for array in (features, kernel))
            there = penalty(features + 1e-5 * by_x, kernel + 1e-5 * by_w)
            back = penalty(features - 1e-5 * by_x, kernel - 1e-5 * by_w)
            slope = (gradients[0] * by_x).sum() + (gradients[1] * by_w).sum()
            np.testing.assert_allclose(slope, (there - back) / 2e-5, rtol=1e-6, atol=1e-6)


# Smoothed labels take one path through all heads: other backends try one head of each kind.
SMOOTHED = heads.NAMES if BACKEND == "tensorflow" else cases.VARIOUS


@pytest.mark.parametrize(
    ("name", "smoothing"),
    [
        *((name, 0.0) for name in heads.NAMES),
        *((name, 0.2) for name in SMOOTHED if cases.smooths(name)),
    ],
)
def test_gradient_penalties(name, smoothing):
    features, kernel, ids = points(name=name)
    lam = 0.5 if name in cases.ANNEALED else None
    knobs = cases.KNOBS[name]
    knobs |= {"scale": 4.0} if "scale" in knobs else {}
    with float64_allowed():
        head = cases.make(name, kernel, smoothing, lam, **knobs)
        if name in FIXED:
            method, value = FIXED[name]
            value = kops.convert_to_tensor(value, "float64")
            setattr(head, method, lambda *args: value)
    check(losses_of(head, ids), features, kernel)


@pytest.mark.parametrize("name", cases.TAKES_ROWS)
def test_gradient_penalties_of_rows(name):
    features, kernel, ids = points()
    rows = 0.7 * np.eye(5)[ids] + 0.3 * np.eye(5)[ids[::-1]]
    with float64_allowed():
        head = cases.make(name, kernel)
    check(losses_of(head, rows), features, kernel)


@pytest.mark.skipif(BACKEND == "torch", reason="nothing is compiled there")
@pytest.mark.parametrize("name", ["virtual", "arcface"])
def test_gradient_penalties_in_a_compiled_step(name):
    features, kernel, ids = points()
    with float64_allowed():
        head = cases.make(name, kernel)
    check(losses_of(head, ids), features, kernel, compiled=True)


@pytest.mark.parametrize("name", heads.NAMES)
def test_gradient_penalties_are_finite_at_zero_vectors(name):
    features, kernel, ids = points("float32", name)
    features[0] = 0
    kernel[:, -2 * cases.vectors(name) : -cases.vectors(name)] = 0
    head = cases.make(name, kernel, **cases.KNOBS[name])
    value, gradients = penalty_and_gradients(losses_of(head, ids), features, kernel)
    assert np.isfinite(value)
    assert all(np.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", ["softmax", "virtual", "curricular"])
def test_blocks_say_that_they_have_none(name):
    features, kernel, ids = points("float32")
    head = heads.get(name, 5, block_size=2)
    head.build((None, 3))

    def losses(features, kernel):
        return -call_head(head, kernel, features, ids)[..., 0]

    with pytest.raises(NotImplementedError, match="has no second derivatives"):
        penalty_and_gradients(losses, features, kernel)
    _, first = value_and_gradients(losses, features, kernel)
    assert all(np.abs(gradient).max() > 0 for gradient in first)


@pytest.mark.parametrize("name", ["norm", "unit", "unit_class_logits", "label_norms"])
def test_the_array_functions(name):
    features, kernel, ids = points()
    ids = kops.convert_to_tensor(ids.astype("int32"))
    function = {
        "norm": lambda x, w: numerics.norm(x) * numerics.norm(w, axis=0)[:4],
        "unit": lambda x, w: numerics.product(numerics.unit(x), numerics.unit(w, axis=0)) ** 2,
        "unit_class_logits": lambda x, w: numerics.unit_class_logits(x, w) ** 2,
        "label_norms": lambda x, w: numerics.label_norms(w, ids) ** 2 * numerics.norm(x),
    }[name]
    with float64_allowed():
        check(function, features, kernel)
