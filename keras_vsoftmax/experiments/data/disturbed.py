"""Batches some of whose labels are drawn anew each time, at random."""

import keras
import numpy as np


class DisturbedBatches(keras.utils.PyDataset):
    """Batches in which each label is redrawn with one probability, uniformly over all classes.

    A redrawn label is the old one in one of `classes` cases, so that a share
    `rate * (classes - 1) / classes` of the labels is wrong. What is drawn is a function of the
    seed, the epoch and the batch: other labels each time, and the same ones in a resumed run.

    Args:
        batches: what is trained on, with `begin_epoch(epoch)`, `fit_input()`, a length in steps,
            and `(images, labels)` by index.
        rate: probability of a redraw.
        classes: number of classes.
        seed: of the draws.

    Source: Xie et al., "DisturbLabel: Regularizing CNN on the Loss Layer", CVPR 2016, section 3.
    """

    def __init__(self, batches, rate, classes, seed):
        super().__init__(workers=batches.workers)
        self.batches = batches
        self.rate = rate
        self.classes = classes
        self.seed = seed
        self.epoch = 0

    def begin_epoch(self, epoch):
        """Draw anew."""
        self.batches.begin_epoch(epoch)
        self.epoch = epoch

    def fit_input(self):
        """What `fit` takes, with `shuffle=False`."""
        inner = self.batches.fit_input()
        if inner is self.batches:
            return self
        import tensorflow as tf  # only tf.data streams come in another form

        def disturb(index, data):
            images, labels = data
            # Stateless, see FaceBatches: it depends on the epoch alone.
            drawn = tf.numpy_function(self._redraw, [index, labels], labels.dtype, stateful=False)
            return images, tf.ensure_shape(drawn, labels.shape)

        return inner.enumerate().map(disturb)

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        images, labels = self.batches[index]
        return images, self._redraw(index, labels)

    def _redraw(self, index, labels):
        rng = np.random.default_rng((self.seed, self.epoch, int(index), 1))
        chosen = rng.random(len(labels)) < self.rate
        drawn = rng.integers(0, self.classes, len(labels))
        return np.where(chosen, drawn, labels).astype(labels.dtype)
