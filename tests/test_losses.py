"""The loss against plain NumPy, with Keras's own reductions as the reference for those."""

import keras
import numpy as np
import pytest
from keras import ops as kops

from keras_vsoftmax import VirtualSoftmaxLoss
from tests.backends import BACKEND

pytestmark = pytest.mark.core

IDS = np.array([0, 2, 1, 2])
LOG_PROBS = np.log(np.random.default_rng(0).dirichlet([1, 1, 1], 4) * 0.6).astype("float32")
VALUES = -LOG_PROBS[np.arange(4), IDS]


def test_ids_and_rows():
    loss = VirtualSoftmaxLoss(reduction=None)
    rows = np.eye(3)[IDS]
    for y in (IDS, IDS[:, None], IDS.astype("float32"), rows):
        np.testing.assert_allclose(kops.convert_to_numpy(loss(y, LOG_PROBS)), VALUES, rtol=1e-6)
    mixed = 0.25 * rows + 0.75 * rows[::-1]
    expected = -(mixed * LOG_PROBS).sum(-1)
    np.testing.assert_allclose(kops.convert_to_numpy(loss(mixed, LOG_PROBS)), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "reduction", ["sum_over_batch_size", "mean", "sum", "mean_with_sample_weight"]
)
@pytest.mark.parametrize("ignore_class", [None, 2])
def test_reductions_are_those_of_keras(reduction, ignore_class):
    """On rows that sum to 1, a stock cross-entropy is the same loss."""
    log_probs = LOG_PROBS - np.log(np.exp(LOG_PROBS).sum(-1, keepdims=True))
    weights = np.array([1.0, 0.5, 0.0, 3.0], "float32")
    ours = VirtualSoftmaxLoss(reduction, ignore_class=ignore_class)
    theirs = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, reduction=reduction, ignore_class=ignore_class
    )
    for weight in (None, weights):
        np.testing.assert_allclose(
            kops.convert_to_numpy(ours(IDS, log_probs, weight)),
            kops.convert_to_numpy(theirs(IDS, log_probs, weight)),
            rtol=1e-5,
        )


@pytest.mark.parametrize("ignored", [-1, 255, 1])
def test_ignored_rows_are_dropped_before_they_are_weighted(ignored):
    y = np.array([0, ignored, 1, 2]) if ignored != 1 else np.array([0, 1, 2, 2])
    log_probs = LOG_PROBS.copy()
    log_probs[1] = np.nan  # what the head gives for an id outside its range
    loss = VirtualSoftmaxLoss("sum", ignore_class=ignored)
    expected = -log_probs[[0, 2, 3], y[[0, 2, 3]]].sum()
    for labels in (y, y[:, None]):
        np.testing.assert_allclose(
            kops.convert_to_numpy(loss(labels, log_probs)), expected, rtol=1e-6
        )


@pytest.mark.parametrize("bad", [-1, 3, 1.5])
def test_a_bad_id_is_nan(bad):
    y = np.array([0, 1, 2, bad])
    value = kops.convert_to_numpy(VirtualSoftmaxLoss(reduction=None)(y, LOG_PROBS))
    assert np.isnan(value).tolist() == [False, False, False, True]


def test_a_mask_weighs():
    prediction = kops.convert_to_tensor(LOG_PROBS)
    prediction._keras_mask = kops.convert_to_tensor([True, False, True, False])
    value = kops.convert_to_numpy(VirtualSoftmaxLoss()(IDS, prediction))
    np.testing.assert_allclose(value, VALUES[[0, 2]].mean(), rtol=1e-6)


def test_ids_stay_exact_under_a_half_precision_floatx():
    keras.config.set_floatx("float16")
    log_probs = np.zeros((1, 20_000), "float32")
    log_probs[0, 10_001] = -5
    value = VirtualSoftmaxLoss()(np.array([10_001]), log_probs)
    assert keras.backend.standardize_dtype(value.dtype) == "float32"
    assert float(value) == 5


@pytest.mark.skipif(BACKEND != "tensorflow", reason="elsewhere Keras reduces in float32")
def test_float64_stays():
    value = VirtualSoftmaxLoss()(IDS, kops.convert_to_tensor(LOG_PROBS, "float64"))
    assert keras.backend.standardize_dtype(value.dtype) == "float64"


def test_labels_that_do_not_fit():
    with pytest.raises(ValueError, match="Labels must be class ids"):
        VirtualSoftmaxLoss()(np.zeros((4, 2)), LOG_PROBS)


def test_config():
    loss = VirtualSoftmaxLoss("sum", ignore_class=7, name="mine")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    assert type(again) is VirtualSoftmaxLoss
    assert again.get_config() == loss.get_config()
