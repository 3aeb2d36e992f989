"""Wide residual networks for small images."""

import keras

from keras_vsoftmax.backbones.layers import Layers, pixels


def wide_resnet(input_shape, depth=28, widen=10, **settings):
    """Three stages of pre-activation blocks, `widen` times the channels of a ResNet.

    Args:
        input_shape: `(height, width, channels)` of an image with values from 0 to 255.
        depth: number of weighted layers with the head's, 6n + 4.
        widen: the paper's k. The stem keeps 16 channels; `width` scales the stem too.
        **settings: `width`, `l2` and `synchronized`, see `backbones.get`.

    Returns:
        A `keras.Model` from images to embeddings of shape `(batch, 64 * widen * width)`.

    Source: "Wide Residual Networks", BMVC 2016, table 1 (36.5M parameters for WRN-28-10).
    """
    blocks, rest = divmod(depth - 4, 6)
    if blocks < 1 or rest:
        raise ValueError(f"`depth` must be 6n + 4 with n >= 1. Received: depth={depth}")
    layers = Layers(**settings)
    image, x = pixels(input_shape)
    x = layers.conv(layers.channels(16), 3)(x)
    for stage, base in enumerate((16, 32, 64)):
        for block in range(blocks):
            strides = 2 if stage > 0 and block == 0 else 1
            x = _block(layers, x, layers.channels(base * widen), strides)
    x = keras.layers.ReLU()(layers.norm()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, x, name=f"wrn{depth}_{widen}")


def _block(layers, x, channels, strides):
    y = keras.layers.ReLU()(layers.norm()(x))
    if strides > 1 or x.shape[-1] != channels:
        x = layers.conv(channels, 1, strides)(y)
    y = layers.norm()(layers.conv(channels, 3, strides)(y))
    y = layers.conv(channels, 3)(keras.layers.ReLU()(y))
    return keras.layers.Add()([x, y])
