"""What every head keeps: the shape and dtype of the output, accuracy, the guard, errors."""

import keras
import numpy as np
import pytest
from keras import ops as kops

import keras_vsoftmax
from keras_vsoftmax import heads
from tests import oracle
from tests.backends import call_head, losses_and_gradients, value_and_gradients
from tests.heads import cases

pytestmark = pytest.mark.core

NAMES = heads.NAMES
MARGIN_HEADS = [name for name in NAMES if name not in cases.TAKES_ROWS]


@pytest.mark.parametrize("name", NAMES)
def test_training_output_is_a_shift_of_the_plain_logits(name):
    features, kernel, ids = cases.points(name)
    head = cases.make(name, kernel, **cases.KNOBS[name])
    logits = oracle.plain_logits(name, features, kernel, ids, **cases.KNOBS[name])
    np.testing.assert_allclose(cases.numpy(head.logits(features)), logits, atol=4e-5)
    trained = cases.output_of(head, features, ids, training=True)
    shifts = logits - trained
    np.testing.assert_allclose(shifts, np.repeat(shifts[:, :1], 7, axis=1), atol=4e-5)
    assert (trained.argmax(-1) == logits.argmax(-1)).all()
    logits = cases.numpy(head.logits(features))  # which a step may have rescaled
    for labels in (None, ids):
        plain = cases.output_of(head, features, labels, training=False)
        np.testing.assert_allclose(np.exp(plain).sum(-1), 1, rtol=1e-5)
        np.testing.assert_allclose(plain, logits - oracle.logsumexp(logits)[:, None], atol=3e-5)


@pytest.mark.parametrize("name", cases.TAKES_ROWS)
def test_rows(name):
    features, kernel, ids = cases.points(name)
    one_hot = np.eye(7, dtype="float32")[ids]
    mixed = 0.3 * one_hot + 0.7 * one_hot[::-1]
    for smoothing in (0.0, 0.1):
        head = cases.make(name, kernel, smoothing)
        by_ids = losses_and_gradients(head, kernel, features, ids)
        by_rows = losses_and_gradients(head, kernel, features, one_hot)
        for a, b in zip(by_ids, by_rows):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
        value, _, _ = losses_and_gradients(head, kernel, features, mixed.astype("float32"))
        truth = oracle.losses(name, features, kernel, mixed, smoothing=smoothing)
        np.testing.assert_allclose(value, truth, rtol=1e-5)
        smoothed = (0.9 * one_hot + 0.1 / 7).astype("float32")
        by_smoothed = losses_and_gradients(cases.make(name, kernel), kernel, features, smoothed)
        by_argument = losses_and_gradients(cases.make(name, kernel, 0.1), kernel, features, ids)
        np.testing.assert_allclose(by_smoothed[0], by_argument[0], rtol=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32", "float64", "float16"])
def test_ids_of_any_number_type(dtype):
    features, kernel, ids = cases.points()
    expected = losses_and_gradients(cases.make("virtual", kernel), kernel, features, ids)
    for labels in (ids.astype(dtype), ids.astype(dtype)[:, None]):
        got = losses_and_gradients(cases.make("virtual", kernel), kernel, features, labels)
        np.testing.assert_array_equal(got[0], expected[0])


@pytest.mark.parametrize(
    ("dtype", "units"),
    [
        *(("uint8", units) for units in (200, 256, 300)),
        *(("int8", units) for units in (100, 128, 300)),
        ("uint16", 2**16),
        ("int16", 2**15),
        ("uint32", 300),
        ("float16", 2049),
        ("bfloat16", 257),
    ],
)
def test_narrow_ids_of_more_classes_than_their_dtype_counts(dtype, units):
    if dtype == "bfloat16":
        largest = 256
    elif dtype == "float16":
        largest = 2048
    else:
        largest = min(units - 1, np.iinfo(dtype).max)
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3, 4)).astype("float32")
    kernel = rng.normal(size=(4, units)).astype("float32")
    ids = np.array([0, largest, largest // 2])
    expected = losses_and_gradients(cases.make("virtual", kernel), kernel, features, ids)
    given = kops.cast(ids, dtype) if dtype == "bfloat16" else ids.astype(dtype)
    got = losses_and_gradients(cases.make("virtual", kernel), kernel, features, given)
    assert np.isfinite(got[0]).all()
    for one, other in zip(got, expected):
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("bad", [-1, 7, 2.5, float("nan"), 2**31 - 1])
@pytest.mark.parametrize("name", NAMES)
def test_a_bad_id_makes_its_row_nan_and_no_gradient(name, bad):
    features, kernel, ids = cases.points(name)
    labels = ids.astype("float32" if isinstance(bad, float) else "int32")
    labels[3] = bad
    head = cases.make(name, kernel, **cases.KNOBS[name])
    value, by_features, by_kernel = losses_and_gradients(head, kernel, features, labels)
    assert np.isnan(value[3])
    assert np.isfinite(np.delete(value, 3)).all()
    assert (by_features[3] == 0).all()
    assert np.isfinite(by_kernel).all()
    if name != "noisy":  # which draws for another shape below
        head = cases.make(name, kernel, **cases.KNOBS[name])
        rest = losses_and_gradients(head, kernel, np.delete(features, 3, axis=0), np.delete(ids, 3))
        np.testing.assert_allclose(by_kernel, rest[2], rtol=1e-4, atol=1e-4)


def test_a_bad_row_makes_its_row_nan_and_no_gradient():
    features, kernel, ids = cases.points()
    rows = np.eye(7, dtype="float32")[ids]
    rows[3] = [0.5, 0.7, -0.2, 0, 0, 0, 0]
    rows[5] *= 0.5
    value, by_features, by_kernel = losses_and_gradients(
        cases.make("virtual", kernel), kernel, features, rows
    )
    assert np.isnan(value[[3, 5]]).all()
    assert np.isfinite(np.delete(value, [3, 5])).all()
    assert (by_features[[3, 5]] == 0).all()
    assert np.isfinite(by_kernel).all()


# Keras on TensorFlow also warns that log-probabilities are no logits.
@pytest.mark.filterwarnings("ignore:.*received `from_logits=True`")
@pytest.mark.parametrize("name", [name for name in NAMES if name != "softmax"])
def test_a_loss_that_normalises_again_makes_the_gradient_nan(name):
    features, kernel, ids = cases.points(name)
    head = cases.make(name, kernel, **cases.KNOBS[name])
    stock = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=None)
    _, by_features, by_kernel = losses_and_gradients(head, kernel, features, ids, stock)
    assert np.isnan(by_features).any()
    assert np.isnan(by_kernel).any()


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1.0, 2.0**15])
def test_the_guard_leaves_weights_and_loss_scaling_alone(scale):
    features, kernel, ids = cases.points()
    weights = np.linspace(0, 1, 32, dtype="float32") * np.float32(scale)
    loss = keras_vsoftmax.VirtualSoftmaxLoss(reduction=None)
    plain = losses_and_gradients(cases.make("virtual", kernel), kernel, features, ids)
    _, by_features, by_kernel = losses_and_gradients(
        cases.make("virtual", kernel), kernel, features, ids, lambda y, p: loss(y, p, weights)
    )
    assert np.isfinite(by_kernel).all()
    np.testing.assert_allclose(
        by_features, plain[1] * weights[:, None], rtol=1e-4, atol=1e-6 * scale
    )


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "bfloat16"])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision(name, policy):
    """No worse than the literal C + 1 cross-entropy from the same rounded numbers."""
    half = "bfloat16" if policy.endswith("bfloat16") else "float16"
    features, kernel, ids = cases.points(name)
    features[:8] = kernel[:, ids[:8]].T  # aligned
    rounded_x, rounded_w = (
        cases.numpy(kops.cast(kops.cast(a, half), "float32")) for a in (features, kernel)
    )
    knobs = cases.KNOBS[name] | ({"seed": 7} if name == "noisy" else {})
    head = heads.get(name, 7, dtype=policy, **knobs)
    head.build((None, 8))
    head.kernel.assign(kernel)
    full = cases.make(name, rounded_w, **knobs)
    output = head(kops.cast(features, half), ids, training=True)
    assert keras.backend.standardize_dtype(output.dtype) == "float32"
    output = output.detach() if hasattr(output, "detach") else output
    value = -cases.numpy(output)[np.arange(32), ids]
    expected = -cases.output_of(full, rounded_x, ids, training=True)[np.arange(32), ids]
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)
    if name == "virtual":
        truth = oracle.losses("virtual", rounded_x, rounded_w, ids)
        bound = cases.loss_bound("virtual", rounded_x, rounded_w, ids, {}, truth)
        literal = literal_losses(rounded_x, rounded_w, ids, half)
        assert (np.abs(value - truth) <= np.abs(literal - truth) + bound).all()


def literal_losses(features, kernel, ids, half):
    """The literal form as one would write it under a half-precision policy."""
    logits = keras_vsoftmax.numerics.literal_logits(
        kops.cast(features, half), kops.cast(kernel, half), ids.astype("int32")
    )
    logits = cases.numpy(kops.cast(logits, "float32"))
    return oracle.logsumexp(logits) - logits[np.arange(len(ids)), ids]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_has_no_bias_on_aligned_features(policy):
    """Aligned and far apart, the loss is log 2: the virtual logit must not lie above z_y."""
    rng = np.random.default_rng(0)
    kernel = np.linalg.qr(rng.normal(size=(64, 32)))[0].astype("float32")
    ids = np.arange(32)
    half = policy.removeprefix("mixed_")
    rounded = cases.numpy(kops.cast(kops.cast(kernel, half), "float32"))
    head = keras_vsoftmax.VirtualSoftmax(32, dtype=policy)
    head.build((None, 64))
    head.kernel.assign(kernel)
    features = kops.cast(rounded.T * 32, half)  # a power of two: exact
    output = cases.output_of(head, features, ids, training=True)
    np.testing.assert_allclose(-output[ids, ids].mean(), np.log(2), atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_in_half_precision_are_finite(name):
    features, kernel, ids = cases.points(name)
    features[0] = 0
    head = heads.get(name, 7, dtype="mixed_float16")
    head.build((None, 8))
    loss = keras_vsoftmax.VirtualSoftmaxLoss()

    def function(kernel, features):
        return loss(ids, call_head(head, kernel, features, ids))

    _, gradients = value_and_gradients(function, kernel, features.astype("float16"))
    assert all(np.isfinite(gradient).all() for gradient in gradients)


# Errors.


@pytest.mark.parametrize("units", [1, 0, -1, 2.0, "10", None, True])
@pytest.mark.parametrize("name", ["softmax", "virtual", "arcface"])
def test_units_must_be_an_integer_of_at_least_two(name, units):
    with pytest.raises(ValueError, match=r"`units` must be an integer of at least 2.*Received"):
        heads.get(name, units)


@pytest.mark.parametrize("name", NAMES)
def test_training_without_labels(name):
    with pytest.raises(ValueError, match="needs labels in training"):
        heads.get(name, 5)(np.ones((2, 3), "float32"), training=True)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2), (2, 1, 1), (1, 2)])
def test_labels_of_a_shape_that_does_not_fit(shape):
    with pytest.raises(ValueError, match=r"Labels must be class ids.*Received: labels.shape="):
        keras_vsoftmax.VirtualSoftmax(5)(
            np.ones((2, 4), "float32"), np.ones(shape, "int32"), training=True
        )


@pytest.mark.parametrize("dtype", ["float32", "uint8", "int32"])
@pytest.mark.parametrize("name", MARGIN_HEADS)
def test_margin_heads_take_one_hot_rows_as_the_ids_they_are(name, dtype):
    features, kernel, ids = cases.points(name)
    head = cases.make(name, kernel, **cases.KNOBS[name])
    by_ids = losses_and_gradients(head, kernel, features, ids)
    by_rows = losses_and_gradients(head, kernel, features, np.eye(7, dtype=dtype)[ids])
    for one, other in zip(by_ids, by_rows):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert heads.get(name, 5)(keras.Input((4,)), keras.Input((5,))).shape == (None, 5)


@pytest.mark.parametrize("name", MARGIN_HEADS)
def test_margin_heads_make_soft_rows_nan_and_no_gradient(name):
    features, kernel, ids = cases.points(name)
    rows = np.eye(7, dtype="float32")[ids]
    rows[3] = 0.7 * rows[3] + 0.3 / 7
    rows[5] = 2 * rows[5]
    head = cases.make(name, kernel, **cases.KNOBS[name])
    value, by_features, by_kernel = losses_and_gradients(head, kernel, features, rows)
    assert np.isnan(value[[3, 5]]).all()
    assert np.isfinite(np.delete(value, [3, 5])).all()
    assert (by_features[[3, 5]] == 0).all()
    assert np.isfinite(by_kernel).all()


def test_features_without_a_last_dimension():
    with pytest.raises(ValueError, match=r"needs features of shape \(..., d\)"):
        keras_vsoftmax.VirtualSoftmax(5)(keras.Input((None,)))
    with pytest.raises(ValueError, match=r"needs features of shape \(..., d\)"):
        keras_vsoftmax.VirtualSoftmax(5)(np.ones(3, "float32"))


# Configuration.


@pytest.mark.parametrize("name", NAMES)
def test_config_round_trip(name):
    head = heads.get(
        name,
        5,
        kernel_regularizer="l2",
        kernel_constraint="non_neg",
        **({"label_smoothing": 0.1} if cases.smooths(name) else {}),
        dtype="mixed_bfloat16",
        **cases.KNOBS[name],
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(head))
    assert type(again) is type(head)
    assert again.get_config() == head.get_config()
    for knob, value in cases.KNOBS[name].items():
        assert getattr(again, knob) == value


def test_every_head_is_named_once_and_tells_its_facts():
    names = [name for name in heads.NAMES if heads.find(name).__module__.startswith("keras_vs")]
    classes = [heads.find(name) for name in names]
    assert len(set(names)) == len(names) == len(set(classes))
    assert {head.__name__ for head in classes} == set(heads.__all__) - {
        "NAMES", "Batch", "Head", "Terms", "find", "get", "register",
    }  # fmt: skip
    assert len({head.title for head in classes}) == len(classes)
    for name, head in zip(names, classes):
        assert head.__module__ == f"keras_vsoftmax.heads.{name}"
        assert getattr(heads, head.__name__) is head
        # A schedule is one that the length of a run shortens or lengthens.
        assert head.scheduled == bool(head.run_knobs(100))
        heads.get(name, 5, **head.run_knobs(100))
