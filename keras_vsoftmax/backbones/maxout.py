"""Maxout networks: the maximum over linear pieces in the place of a nonlinearity."""

import keras
from keras import ops

from keras_vsoftmax.backbones.layers import Layers, check_rate, dropout_layer, pixels

_INITIAL = 0.005  # bound of the weights at the start


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class Maxout(keras.layers.Layer):
    """Maximum over groups of neighbouring channels, the pieces of a maxout unit.

        output[..., i] = max_{j < pieces} inputs[..., i pieces + j]

    After a `Dense` or `Conv2D` layer with `units * pieces` channels this is a maxout layer.

    Args:
        pieces: integer, at least 1. Linear pieces of a unit.
        **kwargs: the arguments of `keras.layers.Layer`.

    Input shape: (..., units * pieces).

    Output shape: (..., units), in the dtype of the input.

    Raises:
        ValueError: `pieces` is no positive integer, or does not divide the channels.

    Example:

    >>> import numpy as np
    >>> np.asarray(Maxout(2)(np.array([[1.0, 3.0, -2.0, -5.0]])))
    array([[ 3., -2.]], dtype=float32)

    Source: Goodfellow et al., "Maxout Networks", ICML 2013, section 3.
    """

    def __init__(self, pieces, **kwargs):
        super().__init__(**kwargs)
        if isinstance(pieces, bool) or not isinstance(pieces, int) or pieces < 1:
            raise ValueError(f"`pieces` must be a positive integer. Received: pieces={pieces!r}")
        self.pieces = pieces

    def build(self, input_shape):
        self.compute_output_shape(input_shape)

    def call(self, inputs):
        units = inputs.shape[-1] // self.pieces
        leading = ops.shape(inputs)[:-1]
        return ops.max(ops.reshape(inputs, (*leading, units, self.pieces)), axis=-1)

    def compute_output_shape(self, input_shape):
        channels = input_shape[-1]
        if channels is None or channels % self.pieces:
            raise ValueError(
                f"The last dimension must be a multiple of pieces={self.pieces}. "
                f"Received: inputs.shape={tuple(input_shape)}"
            )
        return (*input_shape[:-1], channels // self.pieces)

    def get_config(self):
        return {**super().get_config(), "pieces": self.pieces}


def maxout(input_shape, stages, dense=None, black=-1.0, input_dropout=0.2, dropout=0.5, **settings):
    """Convolutional maxout units, each followed by a max-pool and dropout.

    Ours where the authors' configurations cannot be followed: images in [-1, 1] in the place of
    whitened ones, biases shared by all pixels for MNIST as well, and Keras's dropout, which
    scales what it keeps, at the input too. The digits of MNIST lie on zero, in [0, 1], as the
    authors' do: on a ground of -1 the features are so large that training diverged. The authors
    train these networks with rates of 0.05 and momentum of 0.5 to 0.7, with momentum 0.9 a rate of
    0.02 is as much: at the rate of 0.1 of our recipes they diverge.

    Args:
        input_shape: `(height, width, channels)` of an image with values from 0 to 255.
        stages: `(channels, pieces, kernel_size, padding, pool, max_norm)` of each convolution;
            padding is rows and columns of zeros on each side, pools have stride 2 and end beyond
            the image where they do not divide it, and max_norm bounds the norm of each kernel.
        dense: `(units, pieces, max_norm)` of a maxout layer at the end, or `None`.
        black: what the pixel value 0 is brought to; 255 is brought to 1.
        input_dropout: share of the input values that are dropped.
        dropout: share of the values that are dropped after each stage and after `dense`.
        **settings: `width`, `l2` and `synchronized`, see `backbones.get`.

    Returns:
        A `keras.Model` from images to embeddings: the last feature maps, flattened, or the units
        of `dense`.

    Raises:
        ValueError: a dropout outside [0, 1), or a width that is not positive.

    Source: Goodfellow et al., "Maxout Networks", ICML 2013, sections 5.1, 5.2 and 5.4, with the
    layers of the configurations that its authors published (pylearn2's `mnist.yaml`,
    `cifar10.yaml` and `svhn.yaml`).
    """
    check_rate("input_dropout", input_dropout)
    check_rate("dropout", dropout)
    layers = Layers(**settings)
    image, x = pixels(input_shape, black)
    x = dropout_layer(input_dropout)(x)
    for base, pieces, kernel_size, padding, pool, max_norm in stages:
        x = keras.layers.ZeroPadding2D(padding)(x)
        x = layers.conv(
            layers.channels(base) * pieces,
            kernel_size,
            padding="valid",
            use_bias=True,
            kernel_initializer=keras.initializers.RandomUniform(-_INITIAL, _INITIAL),
            kernel_constraint=keras.constraints.MaxNorm(max_norm, axis=(0, 1, 2)),
        )(x)
        x = _pool(Maxout(pieces)(x), pool)
        x = dropout_layer(dropout)(x)
    x = keras.layers.Flatten()(x)
    if dense is not None:
        base, pieces, max_norm = dense
        x = layers.dense(
            layers.channels(base) * pieces,
            use_bias=True,
            kernel_initializer=keras.initializers.RandomUniform(-_INITIAL, _INITIAL),
            kernel_constraint=keras.constraints.MaxNorm(max_norm),
        )(x)
        x = dropout_layer(dropout)(Maxout(pieces)(x))
    return keras.Model(image, x, name="maxout")


def _pool(x, size, strides=2):
    """Max-pool that goes on until every pixel was in a window, as in the authors' library."""
    beyond = [-(pixels - size) % strides for pixels in x.shape[1:3]]
    if any(beyond):
        # Units may be negative: what is beyond the image is below all of them.
        padding = ((0, 0), (0, beyond[0]), (0, beyond[1]), (0, 0))
        x = ops.pad(x, padding, constant_values=float("-inf"))
    return keras.layers.MaxPooling2D(size, strides)(x)
