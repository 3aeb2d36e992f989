"""Random crops and mirroring, on the device, as a function of the seed and the epoch."""

import keras
import numpy as np
from keras import ops

from keras_vsoftmax.distributed import replica


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class RandomCropMirror(keras.layers.Layer):
    """Crops of padded images at a random place, half of them mirrored; in training only.

    Args:
        padding: pixels added on each side before an image of the old size is cut out.
        seed: of the draws. What is drawn depends on it, the epoch given to `begin_epoch`, the
            step within the epoch and the replica, so that a resumed run draws the same.

    Call arguments:
        inputs: images of shape (batch, height, width, channels) with values from 0 to 255.
        training: boolean.

    Output shape: that of `inputs`.

    Example:

    >>> import numpy as np
    >>> images = np.zeros((2, 32, 32, 3), "float32")
    >>> RandomCropMirror(padding=4, seed=1)(images, training=True).shape == (2, 32, 32, 3)
    True
    """

    def __init__(self, padding=4, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.padding = padding
        self.seed = seed
        self.seed_generator = _ReplicaSeed(seed)

    def begin_epoch(self, epoch):
        """Start the draws of an epoch."""
        # 31 bits, since torch's seeds are signed.
        words = np.random.SeedSequence((self.seed, epoch)).generate_state(2) >> 1
        self.seed_generator.state.assign(words)

    def call(self, inputs, training=None):
        if not training:
            return inputs
        batch = ops.shape(inputs)[0]
        height, width, channels = inputs.shape[1:]
        rows = self._draw(batch, 2 * self.padding + 1) + ops.arange(height)
        columns = ops.arange(width)
        columns = ops.where(self._draw(batch, 2) == 1, columns, width - 1 - columns)
        columns = columns + self._draw(batch, 2 * self.padding + 1)

        border = (self.padding, self.padding)
        # Grey, which is zero once a network has scaled its input to [-1, 1].
        padded = ops.pad(inputs, ((0, 0), border, border, (0, 0)), constant_values=127.5)
        padded_height, padded_width = height + 2 * self.padding, width + 2 * self.padding
        rows = rows + padded_height * ops.arange(batch)[:, None]
        pixels = rows[:, :, None] * padded_width + columns[:, None, :]
        return ops.take(ops.reshape(padded, (-1, channels)), pixels, axis=0)

    def _draw(self, batch, below):
        return keras.random.randint((batch, 1), 0, below, seed=self.seed_generator)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        return {**super().get_config(), "padding": self.padding, "seed": self.seed}


class _ReplicaSeed(keras.random.SeedGenerator):
    """A state that advances as Keras's does, and draws that differ between replicas."""

    def next(self, ordered=True):
        words = super().next(ordered)
        offset = ops.stack([replica.replica_id(), 0])
        return words + ops.cast(offset, words.dtype)
