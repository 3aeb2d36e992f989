"""What one head alone promises, how one becomes another, and what none takes."""

import keras
import numpy as np
import pytest
from keras import ops as kops

import keras_vsoftmax
from keras_vsoftmax import heads
from tests.backends import losses_and_gradients
from tests.heads import cases

pytestmark = pytest.mark.core


def test_virtual_keeps_the_label_below_one_half():
    kernel = np.eye(8, dtype="float32")[:, :7]
    ids = np.arange(32) % 7
    features = 50 * kernel[:, ids].T  # classified right with a certainty of 1
    output = cases.output_of(cases.make("virtual", kernel), features, ids, training=True)
    np.testing.assert_allclose(output[np.arange(32), ids], -np.log(2), rtol=1e-5)
    np.testing.assert_allclose(np.exp(output).sum(-1), 0.5, rtol=1e-5)
    assert (output.argmax(-1) == ids).all()


@pytest.mark.parametrize(
    ("reduced", "knobs", "plain", "plain_knobs"),
    [
        ("large_margin", {"margin": 1}, "softmax", {}),
        ("noisy", {"alpha": 0.0}, "softmax", {}),
        ("arcface", {"margin": 0.0}, "normface", {}),
        ("cosface", {"margin": 0.0}, "normface", {}),
        ("angular_normface", {"margin": 1}, "normface", {}),
        ("synthetic_virtual", {"margin": 1.0}, "virtual", {}),
    ],
)
def test_reductions(reduced, knobs, plain, plain_knobs):
    features, kernel, ids = cases.points()
    for smoothing in (0.0, 0.1):
        ours = losses_and_gradients(
            cases.make(reduced, kernel, smoothing, **knobs), kernel, features, ids
        )
        theirs = losses_and_gradients(
            cases.make(plain, kernel, smoothing, **plain_knobs), kernel, features, ids
        )
        for a, b in zip(ours, theirs):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5 * np.abs(b).max())


def test_angular_with_margin_one_is_the_softmax_of_unit_class_vectors():
    features, kernel, ids = cases.points()
    value, _, _ = losses_and_gradients(
        cases.make("angular", kernel, margin=1), kernel, features, ids
    )
    unit = kernel / np.linalg.norm(kernel, axis=0)
    expected, _, _ = losses_and_gradients(cases.make("softmax", unit), unit, features, ids)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.*received `from_logits=True`")
def test_plain_softmax_takes_a_stock_loss_unless_it_smooths():
    features, kernel, ids = cases.points()
    stock = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    ours = losses_and_gradients(cases.make("softmax", kernel), kernel, features, ids)
    theirs = losses_and_gradients(cases.make("softmax", kernel), kernel, features, ids, stock)
    for a, b in zip(ours, theirs):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    smoothing = cases.make("softmax", kernel, 0.1)
    assert np.isnan(losses_and_gradients(smoothing, kernel, features, ids, stock)[2]).any()


@pytest.mark.parametrize(
    ("name", "knobs"),
    [
        ("virtual", {"label_smoothing": 1.0}),
        ("virtual", {"label_smoothing": -0.1}),
        ("noisy", {"alpha": -0.1}),
        ("noisy", {"alpha": float("nan")}),
        ("large_margin", {"margin": 0}),
        ("large_margin", {"margin": 6}),
        ("large_margin", {"margin": 1.5}),
        ("large_margin", {"lambda_base": -1}),
        ("angular", {"lambda_min": -1}),
        ("angular_normface", {"lambda_gamma": -1}),
        ("normface", {"scale": 0}),
        ("normface", {"scale": -1}),
        ("arcface", {"margin": -0.1}),
        ("arcface", {"margin": 1.58}),
        ("cosface", {"margin": -0.1}),
        ("synthetic_virtual", {"margin": 0.5}),
        ("synthetic_virtual", {"margin": 1.1}),
        ("arcface", {"scale": "30"}),
        ("arcface", {"margin": None}),
        ("virtual", {"label_smoothing": True}),
    ],
)
def test_a_knob_outside_its_range(name, knobs):
    ((knob, value),) = knobs.items()
    with pytest.raises(ValueError, match=f"`{knob}` must be .*Received: {knob}={value!r}"):
        heads.get(name, 5, **knobs)


def test_an_unknown_head_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"softmax, virtual, noisy.*Received: identifier='arc'"):
        heads.get("arc", 5)


def test_kernel_arguments_work_as_in_dense():
    head = keras_vsoftmax.VirtualSoftmax(
        3, kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2(0.5)
    )
    head(np.ones((2, 4), "float32"))
    assert head.kernel.shape == (4, 3)
    assert cases.output_of(sum, head.losses) == pytest.approx(0.5 * 12)


# State.


def test_noise_is_a_function_of_seed_and_step():
    features, kernel, ids = cases.points()

    def run(seed, step):
        head = cases.make("noisy", kernel, seed=seed)
        head.step.assign(step)
        return losses_and_gradients(head, kernel, features, ids)[0]

    np.testing.assert_array_equal(run(1, 5), run(1, 5))
    assert (run(1, 5) != run(1, 6)).mean() > 0.9
    assert (run(1, 5) != run(2, 4)).mean() > 0.9


def test_noise_is_half_normal_and_moves_on():
    head = heads.NoisySoftmax(2, alpha=1.0, seed=3)
    head.build((None, 2))
    draws = np.concatenate(
        [-cases.numpy(head.modified_cosine(kops.zeros((5000,)), None)) for _ in range(4)]
    )
    assert int(cases.numpy(head.step)) == 4
    assert len(np.unique(draws)) > 19_000
    assert draws.min() >= 0
    assert draws.mean() == pytest.approx(np.sqrt(2 / np.pi), abs=0.02)
    assert draws.std() == pytest.approx(np.sqrt(1 - 2 / np.pi), abs=0.02)


def test_lambda_falls_with_the_training_passes_only():
    features, kernel, ids = cases.points()
    head = cases.make("large_margin", kernel, lambda_min=0.5)
    seen = []
    for _ in range(3):
        seen.append(head.current_lambda)
        head(features, ids, training=True)
        head(features, ids, training=False)
    expected = [1000 / (1 + 0.12 * step) for step in range(3)]
    np.testing.assert_allclose(seen, expected, rtol=1e-6)
    head.step.assign(10**7)
    assert head.current_lambda == 0.5


def test_what_cannot_be_registered():
    class Mine(heads.Head):
        title, formula, source = "Mine", "L", "me"

    class Silent(heads.Head):
        title = "Silent"

    for identifier in ("Mine", "my-head", "", 3):
        with pytest.raises(ValueError, match=r"lower-case letters.*Received: identifier="):
            heads.register(identifier)(Mine)
    with pytest.raises(ValueError, match="Received: Silent without formula, source"):
        heads.register("silent")(Silent)
    with pytest.raises(ValueError, match=r"'virtual' is that of VirtualSoftmax\. Received"):
        heads.register("virtual")(Mine)
    with pytest.raises(ValueError, match="must be a class of `Head`"):
        heads.register("dense")(keras.layers.Dense)
    assert heads.register("virtual")(heads.VirtualSoftmax) is heads.VirtualSoftmax
    assert not {"mine", "silent", "dense"} & set(heads.NAMES)
