"""Residual networks for small images."""

import keras

from keras_vsoftmax.backbones.layers import Layers, pixels


def resnet(input_shape, depth=110, **settings):
    """The residual network for CIFAR: three stages of two-convolution blocks, identity shortcuts.

    Args:
        input_shape: `(height, width, channels)` of an image with values from 0 to 255.
        depth: number of weighted layers with the head's, 6n + 2.
        **settings: `width`, `l2` and `synchronized`, see `backbones.get`.

    Returns:
        A `keras.Model` from images to embeddings of shape `(batch, 64 * width)`.

    Source: "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2 (1.7M
    parameters at depth 110).
    """
    blocks, rest = divmod(depth - 2, 6)
    if blocks < 1 or rest:
        raise ValueError(f"`depth` must be 6n + 2 with n >= 1. Received: depth={depth}")
    layers = Layers(**settings)
    image, x = pixels(input_shape)
    x = layers.conv(layers.channels(16), 3)(x)
    x = keras.layers.ReLU()(layers.norm()(x))
    for stage, base in enumerate((16, 32, 64)):
        for block in range(blocks):
            strides = 2 if stage > 0 and block == 0 else 1
            x = _block(layers, x, layers.channels(base), strides)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, x, name=f"resnet{depth}")


def _block(layers, x, channels, strides):
    y = layers.norm()(layers.conv(channels, 3, strides)(x))
    y = layers.conv(channels, 3)(keras.layers.ReLU()(y))
    y = layers.norm()(y)
    if strides > 1:  # the shortcut without parameters: every other pixel, new channels zero
        x = keras.layers.MaxPooling2D(1, strides)(x)
        x = keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, channels - x.shape[-1])))
    return keras.layers.ReLU()(keras.layers.Add()([x, y]))
