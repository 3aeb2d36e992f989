"""Every head whose loss is a softmax, with its classes in blocks, against itself without."""

import numpy as np
import pytest
from keras import ops as kops

from keras_vsoftmax import heads
from tests import oracle, tiny
from tests.backends import BACKEND, call_head, float64_allowed, value_and_gradients
from tests.heads import cases, test_exactness

pytestmark = pytest.mark.core

NAMES = tuple(name for name in heads.NAMES if heads.find(name).is_softmax)
OTHERS = tuple(name for name in heads.NAMES if name not in NAMES)
# Where the sum over the others, the label's own term and the norms are at their limits.
AWKWARD = ("along the class vector", "both zero", "equal logits", "huge")
POINTS = {name: points for name, *points in cases.awkward_points() if name in AWKWARD}
UNITS, DIM, BATCH = 23, 7, 9


def random_points(name, dtype="float32"):
    rng = np.random.default_rng(3)
    features = (5 * rng.normal(size=(BATCH, DIM))).astype(dtype)
    kernel = cases.widened(name, rng.normal(size=(DIM, UNITS)).astype(dtype))
    return features, kernel, rng.integers(0, UNITS, BATCH)


def make(name, kernel, block_size, smoothing=0.0, **knobs):
    lam = 0.7 if name in cases.ANNEALED else None
    knobs = {**cases.KNOBS[name], "block_size": block_size, **knobs}
    return cases.make(name, kernel, smoothing, lam, **knobs)


def losses_and_gradients(head, kernel, features, ids):
    """Losses in training and the gradients of their sum; the label's column is the first."""

    def losses(features, kernel):
        output = call_head(head, kernel, features, ids)
        if head.gives_two_columns:
            return -output[..., 0]
        return -kops.take_along_axis(output, kops.expand_dims(ids, -1), axis=-1)[..., 0]

    ids = kops.convert_to_tensor(ids.astype("int32"))
    value, gradients = value_and_gradients(losses, features, kernel)
    return value, *gradients


@pytest.mark.parametrize(
    ("name", "block_size", "smoothing"),
    [
        *((name, 5, 0.2) for name in NAMES),
        *((name, 5, 0.0) for name in cases.VARIOUS),
        *(("curricular", size, 0.2) for size in (1, UNITS, 1000)),
    ],
)
def test_losses_and_gradients_in_float64(name, block_size, smoothing):
    features, kernel, ids = random_points(name, "float64")
    with float64_allowed():
        whole = losses_and_gradients(make(name, kernel, None, smoothing), kernel, features, ids)
        head = make(name, kernel, block_size, smoothing)
        blocked = losses_and_gradients(head, kernel, features, ids)
    for one, other in zip(blocked, whole):
        assert one.dtype == np.float64
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-11 * np.abs(other).max())


@pytest.mark.parametrize("name", NAMES)
def test_losses_at_awkward_points(name):
    knobs = cases.KNOBS[name]
    head = make(name, cases.widened(name, POINTS["huge"][1]), 3)
    for point, (features, kernel, ids) in POINTS.items():
        wide = cases.widened(name, kernel)
        truth = test_exactness.true_losses(name, head, features, wide, ids, **knobs)
        value, *gradients = losses_and_gradients(head, wide, features, ids)
        bound = cases.loss_bound(name, features, wide, ids, knobs, truth)
        assert (np.abs(value - truth) <= bound).all(), point
        assert all(np.isfinite(gradient).all() for gradient in gradients), point


@pytest.mark.parametrize("name", cases.VARIOUS)
def test_float32_gradients_are_as_near_as_without_blocks(name):
    features, kernel, ids = random_points(name)
    with float64_allowed():
        wide = (array.astype("float64") for array in (kernel, features))
        head = make(name, kernel.astype("float64"), None)
        truth = losses_and_gradients(head, *wide, ids)
    whole = losses_and_gradients(make(name, kernel, None), kernel, features, ids)
    blocked = losses_and_gradients(make(name, kernel, 5), kernel, features, ids)
    for true, one, other in zip(truth, whole, blocked):
        bound = 3 * np.abs(one - true).max() + 8 * cases.EPS * np.abs(true).max()
        assert np.abs(other - true).max() <= bound


@pytest.mark.parametrize(
    ("name", "policy"),
    [*((name, "mixed_bfloat16") for name in cases.VARIOUS), ("arcface", "mixed_float16")],
)
def test_mixed_precision(name, policy):
    features, kernel, ids = random_points(name)
    found = []
    for block_size in (None, 5):
        head = make(name, kernel, block_size)
        head = type(head).from_config({**head.get_config(), "dtype": policy})
        head.build((None, DIM))
        found.append(losses_and_gradients(head, kernel, features, ids))
    for one, other in zip(*found):
        # Without blocks the gradient of the kernel is rounded as the kernel is.
        np.testing.assert_allclose(one, other, rtol=0.02, atol=0.02 * np.abs(one).max())
    np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_state_moves_alike_and_the_second_column_is_the_highest_other(name):
    features, kernel, ids = random_points(name)
    ids[2] = -1  # which must leave no trace
    whole, blocked = make(name, kernel, None), make(name, kernel, 5)
    for step in range(3):
        one, other = (
            kops.convert_to_numpy(head(features + step, ids, training=True))
            for head in (whole, blocked)
        )
        good = np.arange(BATCH) != 2
        assert np.isnan(other[2]).all()
        one = one[good]
        label = one[np.arange(BATCH - 1), ids[good]].copy()
        one[np.arange(BATCH - 1), ids[good]] = -np.inf
        np.testing.assert_allclose(other[good, 0], label, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(other[good, 1], one.max(-1), rtol=1e-4, atol=1e-4)
    for one, other in zip(whole.weights, blocked.weights, strict=True):
        one, other = kops.convert_to_numpy(one), kops.convert_to_numpy(other)
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("name", cases.VARIOUS)
def test_leading_dimensions_and_predictions(name):
    features, kernel, ids = random_points(name)
    head = make(name, kernel, 5)
    flat = kops.convert_to_numpy(head(features, ids))
    cube = head(features.reshape(3, 3, DIM), ids.reshape(3, 3, 1))
    np.testing.assert_allclose(kops.convert_to_numpy(cube).reshape(-1, 2), flat, atol=1e-4)
    usual = kops.convert_to_numpy(head(features))
    assert usual.shape == (BATCH, UNITS)
    np.testing.assert_allclose(usual[np.arange(BATCH), ids], flat[:, 0], atol=1e-4)
    found = kops.convert_to_numpy(head.predict_classes(features.reshape(3, 3, DIM)))
    assert (found.reshape(-1) == usual.argmax(-1)).all()
    output = head(features.reshape(3, 3, DIM), ids.reshape(3, 3), training=True)
    assert output.shape == (3, 3, 2)


@pytest.mark.parametrize("name", cases.VARIOUS)
def test_a_classifier_trains_alike(name):
    x, y = tiny.data()
    smoothing = {"label_smoothing": 0.1}
    models = [
        tiny.classifier(name, head_arguments={**knobs, **smoothing}, metrics=["accuracy"])
        for knobs in ({}, {"block_size": 2})
    ]
    for model in models:
        model.fit(x, y, batch_size=10, epochs=2, shuffle=False, verbose=0)
    logs = [model.evaluate(x, y, verbose=0) for model in models]
    np.testing.assert_allclose(logs[1], logs[0], rtol=1e-4)
    tiny.assert_same_weights(*models, atol=1e-4)


def test_a_learned_scale_gets_its_gradient():
    scales = []
    for block_size in (None, 5):
        model = tiny.classifier(
            "normface", head_arguments={"scale": "learned", "block_size": block_size}
        )
        x, y = tiny.data()
        model.fit(x, y, shuffle=False, verbose=0)
        scales.append(float(kops.convert_to_numpy(model.head.learned_scale)))
    assert abs(scales[0] - 30) > 1e-4
    np.testing.assert_allclose(scales[1], scales[0], rtol=1e-6)


@pytest.mark.parametrize(("step", "strength"), [(0, 1.0), (1, 1.0), (4, 1.0), (1, 0.5), (4, 0.5)])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("name", ["virtual", "synthetic_virtual"])
def test_the_virtual_class_comes_in(name, smoothing, step, strength):
    features, kernel, ids = random_points(name)
    found = []
    for block_size in (None, 5):
        knobs = {"warmup_steps": 4, "strength": strength}
        head = make(name, kernel, block_size, smoothing, **knobs)
        head.step.assign(step)
        found.append(losses_and_gradients(head, kernel, features, ids))
    for one, other in zip(*found):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4 * np.abs(one).max())


@pytest.mark.parametrize("name", OTHERS)
def test_losses_that_are_no_softmax_are_refused(name):
    with pytest.raises(ValueError, match=r"no softmax over the classes. Received: block_size=2"):
        heads.get(name, 5, block_size=2)


class _Asks(heads.Head):
    def training_terms(self, batch):
        return heads.Terms(target=batch.label_logit - batch.logits[..., 0])


class _NoSoftmax(heads.Head):
    def training_terms(self, batch):
        return heads.Terms(loss=-batch.label_logit)


def test_heads_that_blocks_cannot_serve_say_so():
    features, _, ids = random_points("softmax")
    with pytest.raises(ValueError, match=r"_Asks asks its batch for `logits`"):
        _Asks(UNITS, block_size=5)(features, ids, training=True)
    with pytest.raises(ValueError, match=r"_NoSoftmax takes no `block_size`"):
        _NoSoftmax(UNITS, block_size=5)(features, ids, training=True)


@pytest.mark.skipif(BACKEND == "torch", reason="nothing is compiled there")
@pytest.mark.parametrize("name", ["arcface", "curricular"])
def test_in_a_compiled_step(name):
    x, y = tiny.data()
    losses = []
    for knobs in ({"block_size": 2}, {}):
        model = tiny.classifier(name, head_arguments=knobs, jit_compile=True)
        losses.append(model.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_the_oracle_agrees():
    features, kernel, ids = random_points("arcface")
    value, *_ = losses_and_gradients(make("arcface", kernel, 4, 0.1), kernel, features, ids)
    knobs = cases.KNOBS["arcface"]
    truth = oracle.losses("arcface", features, kernel, ids, smoothing=0.1, **knobs)
    np.testing.assert_allclose(value, truth, rtol=1e-5)
