"""The few layers that every backbone here is made of."""

import functools
import random

import keras


class Layers:
    """Makers of layers with one setting for the whole network.

    Args:
        width: factor on every number of channels.
        l2: the factor of `keras.regularizers.L2` on every kernel; batch normalisation and PReLU
            are left alone.
        synchronized: batch statistics over all replicas of a `tf.distribute` strategy.
    """

    def __init__(self, width=1.0, l2=2.5e-4, synchronized=False):
        if not width > 0:
            raise ValueError(f"`width` must be a positive number. Received: width={width}")
        self.width = width
        self.norm = functools.partial(
            keras.layers.BatchNormalization,
            momentum=0.9,
            epsilon=1e-5,
            synchronized=synchronized,
        )
        # One regulariser object a kernel: Keras would save a shared one as such, and warn.
        self.kernel_regularizer = lambda: keras.regularizers.L2(l2) if l2 else None
        self._kernel = lambda: {
            "kernel_initializer": "he_normal",
            "kernel_regularizer": self.kernel_regularizer(),
            "use_bias": False,  # batch normalisation follows and would cancel it
        }

    def channels(self, base):
        """`base` times the width, at least one."""
        return max(1, round(base * self.width))

    def conv(self, channels, size, strides=1, **overrides):
        settings = {"strides": strides, "padding": "same", **self._kernel(), **overrides}
        return keras.layers.Conv2D(channels, size, **settings)

    def dense(self, units, **overrides):
        return keras.layers.Dense(units, **{**self._kernel(), **overrides})


def prelu():
    """A slope for each channel. It starts at 0.25 as in PReLU's paper; Keras's zero is a ReLU."""
    return keras.layers.PReLU(keras.initializers.Constant(0.25), shared_axes=(1, 2))


def dropout_layer(rate):
    """Dropout whose state decides its masks on every backend.

    Without a seed, torch draws them from its own generator, whatever the state of the layer is.
    Python's generator gives the seed, as it gives Keras's own; `set_random_seed` sets both.
    """
    return keras.layers.Dropout(rate, seed=random.randrange(2**31))


def pixels(input_shape, black=-1.0):
    """The input and its values scaled to [black, 1]: images go in as they are stored, 0 to 255."""
    image = keras.Input(input_shape, name="image")
    return image, keras.layers.Rescaling((1 - black) / 255, offset=black)(image)


def check_rate(name, value):
    """Refuse what is no share in [0, 1).

    Raises:
        ValueError: naming what was received.
    """
    if not 0 <= value < 1:
        raise ValueError(f"`{name}` must be a number >= 0 and < 1. Received: {name}={value}")
