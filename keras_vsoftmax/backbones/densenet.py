"""Densely connected networks for small images."""

import keras

from keras_vsoftmax.backbones.layers import Layers, pixels


def densenet(input_shape, depth=40, growth=12, **settings):
    """The basic DenseNet for CIFAR: three blocks in which each layer sees all before it.

    The dropout that the paper adds when images are not augmented is left out.

    Args:
        input_shape: `(height, width, channels)` of an image with values from 0 to 255.
        depth: number of weighted layers with the head's, 3n + 4.
        growth: channels that each layer adds, before the width factor.
        **settings: `width`, `l2` and `synchronized`, see `backbones.get`.

    Returns:
        A `keras.Model` from images to embeddings of shape `(batch, 448)` for depth 40 and
        growth 12.

    Source: "Densely Connected Convolutional Networks", CVPR 2017, table 2 (1.0M parameters at
    depth 40, growth 12).
    """
    units, rest = divmod(depth - 4, 3)
    if units < 1 or rest:
        raise ValueError(f"`depth` must be 3n + 4 with n >= 1. Received: depth={depth}")
    layers = Layers(**settings)
    image, x = pixels(input_shape)
    x = layers.conv(layers.channels(16), 3)(x)
    for block in range(3):
        if block > 0:
            x = layers.conv(x.shape[-1], 1)(_activate(layers, x))
            x = keras.layers.AveragePooling2D(2)(x)
        for _ in range(units):
            y = layers.conv(layers.channels(growth), 3)(_activate(layers, x))
            x = keras.layers.Concatenate()([x, y])
    x = keras.layers.GlobalAveragePooling2D()(_activate(layers, x))
    return keras.Model(image, x, name=f"densenet{depth}")


def _activate(layers, x):
    return keras.layers.ReLU()(layers.norm()(x))
