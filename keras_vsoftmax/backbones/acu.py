"""The networks of active convolutions: residual, and plain."""

import keras

from keras_vsoftmax.backbones.active_convolution import ActiveConv2D
from keras_vsoftmax.backbones.layers import Layers, pixels


def acu(input_shape, depth=29, warmup=10_000, **settings):
    """The residual network for CIFAR with active convolutions in its bottlenecks.

    This is the kind of network that has the figures cited in the published comparison, 7.12 on
    CIFAR10 and 27.47 on CIFAR100: the paper tests a plain and a residual one, and the plain one,
    `acu_plain`, has 7.33 and 27.11. Only the plain one's layers were published by the authors.
    Depth and widths here are ours, those of the residual networks for CIFAR: a block is a 1x1
    convolution to 16, 32 or 64 channels, an active 3x3 one, and a 1x1 one to four times as many,
    each with batch norm, and the shortcut is a 1x1 convolution where the shape changes. The stem
    is a plain convolution.

    Args:
        input_shape: `(height, width, channels)` of an image with values from 0 to 255.
        depth: number of weighted layers with the head's, 9n + 2.
        warmup: training steps in which the positions rest, see `ActiveConv2D`; the authors' are
            10,000 of 64,000.
        **settings: `width`, `l2` and `synchronized`, see `backbones.get`.

    Returns:
        A `keras.Model` from images to embeddings of shape `(batch, 256 * width)`.

    Raises:
        ValueError: a depth that the family has not, or a width that is not positive.

    Source: Jeon, Kim, "Active Convolution: Learning the Shape of Convolution for Image
    Classification", CVPR 2017, section 4.
    """
    blocks, rest = divmod(depth - 2, 9)
    if blocks < 1 or rest:
        raise ValueError(f"`depth` must be 9n + 2 with n >= 1. Received: depth={depth}")
    layers = Layers(**settings)
    image, x = pixels(input_shape)
    x = layers.conv(layers.channels(16), 3)(x)
    x = keras.layers.ReLU()(layers.norm()(x))
    for stage, base in enumerate((16, 32, 64)):
        for block in range(blocks):
            strides = 2 if stage > 0 and block == 0 else 1
            x = _bottleneck(layers, x, base, strides, warmup)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, x, name=f"acu{depth}")


def acu_plain(input_shape, warmup=10_000, **settings):
    """The plain network of active convolutions that the authors published, with batch norm.

    1x1 to 16 channels, then 3x3 to 48, 48, 96, 96, 192, 192 (the first 96 and the first 192 with
    stride 2), all active, 1x1 to 1000, the mean over all pixels. Its figures are 7.33 on CIFAR10
    and 27.11 on CIFAR100, 8.01 and 27.85 without learned positions.

    Args:
        input_shape, warmup: as for `acu`.
        **settings: as for `acu`. The width scales all channels.

    Returns:
        A `keras.Model` from images to embeddings of shape `(batch, 1000 * width)`.

    Raises:
        ValueError: a width that is not positive.

    Source: as for `acu`; layers as in jyh2986/Active-Convolution, `models/ACU`.
    """
    layers = Layers(**settings)
    image, x = pixels(input_shape)
    x = layers.conv(layers.channels(16), 1)(x)  # one tap, and the centre's stays
    x = keras.layers.ReLU()(layers.norm()(x))
    for base, first in ((48, 1), (96, 2), (192, 2)):
        for strides in (first, 1):
            x = _active(layers, x, layers.channels(base), strides, warmup)
            x = keras.layers.ReLU()(x)
    x = keras.layers.ReLU()(layers.norm()(layers.conv(layers.channels(1000), 1)(x)))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, x, name="acu_plain")


def _bottleneck(layers, x, base, strides, warmup):
    channels = layers.channels(4 * base)
    y = keras.layers.ReLU()(layers.norm()(layers.conv(layers.channels(base), 1)(x)))
    y = keras.layers.ReLU()(_active(layers, y, layers.channels(base), strides, warmup))
    y = layers.norm()(layers.conv(channels, 1)(y))
    if strides > 1 or x.shape[-1] != channels:
        x = layers.norm()(layers.conv(channels, 1, strides)(x))
    return keras.layers.ReLU()(keras.layers.Add()([x, y]))


def _active(layers, x, channels, strides, warmup):
    x = ActiveConv2D(
        channels, strides=strides, warmup=warmup, kernel_regularizer=layers.kernel_regularizer()
    )(x)
    return layers.norm()(x)
