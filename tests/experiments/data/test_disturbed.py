import keras
import numpy as np
import pytest

from keras_vsoftmax.experiments.data import image_sets
from keras_vsoftmax.experiments.data.disturbed import DisturbedBatches

CLASSES = 5


def _batches(rate, seed=3, samples=4_000, batch_size=100):
    images = np.arange(samples, dtype="int64")
    labels = (images % CLASSES).astype("int32")
    batches = image_sets.Batches(images, labels, batch_size, seed)
    return DisturbedBatches(batches, rate, CLASSES, seed)


def _epoch(batches, epoch):
    batches.begin_epoch(epoch)
    images, labels = zip(*(batches[i] for i in range(len(batches))))
    return np.concatenate(images), np.concatenate(labels)


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_rate_and_distribution(rate):
    images, labels = _epoch(_batches(rate), 0)
    assert labels.dtype == np.int32
    true = images % CLASSES
    # Of a redrawn label one in five is the old one. Bounds of four standard deviations.
    wrong = rate * (1 - 1 / CLASSES)
    assert abs((labels != true).mean() - wrong) < 4 * (wrong * (1 - wrong) / 4_000) ** 0.5
    for label in range(CLASSES):
        others = labels[(true == label) & (labels != label)]
        counts = np.bincount(others, minlength=CLASSES)[np.arange(CLASSES) != label]
        expected = len(others) / (CLASSES - 1)
        assert (np.abs(counts - expected) < 4 * expected**0.5).all()


def test_without_a_rate_nothing_is_changed():
    images, labels = _epoch(_batches(0.0), 0)
    np.testing.assert_array_equal(labels, images % CLASSES)


def test_a_function_of_seed_epoch_and_batch():
    straight = _batches(0.5)
    epochs = [_epoch(straight, epoch)[1] for epoch in range(3)]
    resumed = _batches(0.5)
    resumed.begin_epoch(2)
    # Any batch by itself, in any order.
    for index in (30, 0, 30):
        batch = slice(index * 100, (index + 1) * 100)
        np.testing.assert_array_equal(resumed[index][1], epochs[2][batch])
    flips = [labels != _epoch(straight, e)[0] % CLASSES for e, labels in enumerate(epochs)]
    other_seed = _batches(0.5, seed=4)
    images, labels = _epoch(other_seed, 0)
    assert 0.3 < (flips[0] == flips[1]).mean() < 0.7
    assert 0.3 < (flips[0] == (labels != images % CLASSES)).mean() < 0.7
    assert len({tuple(flips[0][i : i + 100]) for i in range(0, 4_000, 100)}) == 40


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data")
def test_a_stream_of_tf_data_has_the_same_draws():
    import tensorflow as tf

    class Stream(image_sets.Batches):
        def fit_input(self):
            def load(index):
                x, y = tf.numpy_function(
                    self.__getitem__, [index], (tf.int64, tf.int32), stateful=False
                )
                return tf.ensure_shape(x, (100,)), tf.ensure_shape(y, (100,))

            return tf.data.Dataset.range(len(self)).map(load)

    images = np.arange(400)
    batches = Stream(images, (images % CLASSES).astype("int32"), 100, 3)
    disturbed = DisturbedBatches(batches, 0.5, CLASSES, 3)
    stream = disturbed.fit_input()
    for epoch in (0, 1):
        expected = _epoch(disturbed, epoch)
        found = zip(*((x.numpy(), y.numpy()) for x, y in stream))
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(np.concatenate(one), other)
    assert stream.element_spec[1].shape == (100,)
