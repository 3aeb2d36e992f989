"""Pooling that learns: mixtures of maximum and mean, and trees of learned filters."""

import keras
from keras import ops

from keras_vsoftmax.heads.checks import is_integer


class _LearnedPooling(keras.layers.Layer):
    """What the layers share: windows of zero-padded feature maps, and filters over a window.

    A filter is one mask a layer: all channels share it, and each is filtered by itself.
    """

    def __init__(
        self,
        pool_size=3,
        strides=2,
        kernel_initializer=None,
        kernel_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value in (("pool_size", pool_size), ("strides", strides)):
            if not is_integer(value) or value < 1:
                raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
        self.pool_size = int(pool_size)
        self.strides = int(strides)
        if kernel_initializer is None:  # that of the configuration which the authors published
            kernel_initializer = keras.initializers.RandomNormal(stddev=0.1)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def _add_filters(self, name, count):
        """A weight (pool_size, pool_size, 1, count) of `count` filters."""
        return self.add_weight(
            name=name,
            shape=(self.pool_size, self.pool_size, 1, count),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
        )

    def _filter(self, inputs, filters):
        """The answer of each filter to each window: (batch, rows, columns, channels, count)."""
        channels = inputs.shape[-1]
        kernel = ops.tile(ops.cast(filters, inputs.dtype), (1, 1, channels, 1))
        answers = ops.depthwise_conv(inputs, kernel, self.strides, padding="same")
        shape = ops.shape(answers)[:-1]
        return ops.reshape(answers, (*shape, channels, filters.shape[-1]))

    def _max_and_mean(self, inputs):
        """Of the pixels of each window that lie in the image."""
        largest = ops.max_pool(inputs, self.pool_size, self.strides, "same")
        # On torch, Keras's own mean counts the pixels at the border twice.
        ones = ops.ones((self.pool_size, self.pool_size, 1, 1), inputs.dtype)
        pixels = self._filter(ops.ones_like(inputs[:1, :, :, :1]), ones)
        return largest, (self._filter(inputs, ones) / pixels)[..., 0]

    def compute_output_shape(self, input_shape):
        batch, *pixels, channels = input_shape
        pixels = [None if size is None else -(-size // self.strides) for size in pixels]
        return (batch, *pixels, channels)

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class MixedPooling2D(_LearnedPooling):
    """Mixture of max- and mean-pooling in one learned proportion.

        f(x) = a max(x) + (1 - a) mean(x),   a = sigmoid(mix)

    The sigmoid, which holds the paper's `a` between 0 and 1, is ours; it begins at 1/2. Windows
    lie as in Keras's pooling with padding "same".

    Args:
        pool_size: integer. Rows and columns of a window.
        strides: integer.
        **kwargs: the arguments of `keras.layers.Layer`.

    Input shape: (batch, height, width, channels).

    Output shape: (batch, ceil(height / strides), ceil(width / strides), channels).

    Raises:
        ValueError: a window or stride that is no positive integer.

    Example:

    >>> import numpy as np
    >>> x = np.array([0.0, 0.0, 0.0, 8.0]).reshape(1, 2, 2, 1)
    >>> float(MixedPooling2D(pool_size=2)(x)[0, 0, 0, 0])  # the middle of 8 and 2
    5.0

    Source: Lee, Gallagher, Tu, "Generalizing Pooling Functions in Convolutional Neural Networks:
    Mixed, Gated, and Tree", AISTATS 2016, section 3.1.
    """

    def build(self, input_shape):
        self.mix = self.add_weight(name="mix", shape=(), initializer="zeros")

    def call(self, inputs):
        largest, mean = self._max_and_mean(inputs)
        share = ops.sigmoid(ops.cast(self.mix, inputs.dtype))
        return share * largest + (1 - share) * mean


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class GatedPooling2D(_LearnedPooling):
    """Mixture of max- and mean-pooling in a proportion that each window decides.

        f(x) = s max(x) + (1 - s) mean(x),   s = sigmoid(w . x)

    w, the gate, is one mask a layer, shared by all channels. Pixels beyond the image count for
    neither maximum nor mean, and as zero for the gate.

    Args:
        pool_size: integer. Rows and columns of a window.
        strides: integer.
        kernel_initializer: of the gate.
        kernel_regularizer: of the gate.
        **kwargs: the arguments of `keras.layers.Layer`.

    Input shape, output shape, errors and source: see `MixedPooling2D`.

    Example:

    >>> import numpy as np
    >>> x = np.array([0.0, 0.0, 0.0, 8.0]).reshape(1, 2, 2, 1)
    >>> float(GatedPooling2D(2, kernel_initializer="zeros")(x)[0, 0, 0, 0])
    5.0
    """

    def build(self, input_shape):
        self.gate_kernel = self._add_filters("gate_kernel", 1)

    def call(self, inputs):
        largest, mean = self._max_and_mean(inputs)
        share = ops.sigmoid(self._filter(inputs, self.gate_kernel)[..., 0])
        return share * largest + (1 - share) * mean


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class TreePooling2D(_LearnedPooling):
    """Pooling filters that are learned, fused by gates in a binary tree.

        leaf m:           f_m(x) = v_m . x
        internal node m:  f_m(x) = s_m f_left(x) + (1 - s_m) f_right(x),   s_m = sigmoid(w_m . x)

    The output is that of the root. All filters are masks shared by all channels; pixels beyond
    the image count as zero.

    Args:
        levels: integer, at least 1. Levels of the tree: 2 are two leaves and one gate.
        pool_size: integer. Rows and columns of a window.
        strides: integer.
        kernel_initializer: of leaves and gates.
        kernel_regularizer: of leaves and gates.
        **kwargs: the arguments of `keras.layers.Layer`.

    Input shape, output shape and source (section 3.2): see `MixedPooling2D`.

    Raises:
        ValueError: levels, a window or a stride that is no positive integer.

    Example:

    >>> import numpy as np
    >>> x = np.array([0.0, 0.0, 0.0, 8.0]).reshape(1, 2, 2, 1)
    >>> layer = TreePooling2D(2, pool_size=2, kernel_initializer="zeros")
    >>> float(layer(x)[0, 0, 0, 0])
    0.0
    >>> layer.count_params()  # two leaves and a gate of four weights each
    12
    """

    def __init__(self, levels=2, **kwargs):
        super().__init__(**kwargs)
        if not is_integer(levels) or levels < 1:
            raise ValueError(f"`levels` must be a positive integer. Received: levels={levels!r}")
        self.levels = int(levels)

    def build(self, input_shape):
        leaves = 2 ** (self.levels - 1)
        self.leaf_kernel = self._add_filters("leaf_kernel", leaves)
        self.gate_kernel = self._add_filters("gate_kernel", leaves - 1) if leaves > 1 else None

    def call(self, inputs):
        answers = self._filter(inputs, self.leaf_kernel)
        if self.gate_kernel is None:
            return answers[..., 0]
        shares = ops.sigmoid(self._filter(inputs, self.gate_kernel))
        # From the leaves up; the gates lie level by level, the lowest first.
        first = 0
        while answers.shape[-1] > 1:
            gates = answers.shape[-1] // 2
            share = shares[..., first : first + gates]
            answers = share * answers[..., 0::2] + (1 - share) * answers[..., 1::2]
            first += gates
        return answers[..., 0]

    def get_config(self):
        return {**super().get_config(), "levels": self.levels}
