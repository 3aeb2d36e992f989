"""ResNet-18 for small images, and for photographs, in its pre-activation form."""

import keras

from keras_vsoftmax.backbones.layers import Layers, pixels


def preactivation_resnet(input_shape, photographs=False, **settings):
    """Four stages of two pre-activation blocks, 64 to 512 channels, global average pooling.

    A block is (batch norm, ReLU, convolution) twice, added to its input. Where the shape changes,
    the shortcut is a 1x1 convolution of the first activation. The embedding is the average of the
    last activation over the image: nonnegative, with no layer after it.

    Args:
        input_shape: `(height, width, channels)` of an image with values from 0 to 255.
        photographs: begin with a 7x7 convolution and a 3x3 max-pool, each of which halves the
            image, in the place of a 3x3 convolution.
        **settings: `width`, `l2` and `synchronized`, see `backbones.get`.

    Returns:
        A `keras.Model` from images to embeddings of shape `(batch, 512 * width)`.

    Source: "Identity Mappings in Deep Residual Networks", ECCV 2016, figure 4e, with the stages
    that ResNet-18 has for 32x32 images (11.2M parameters at width 1).
    """
    layers = Layers(**settings)
    image, x = pixels(input_shape)
    if photographs:
        x = layers.conv(layers.channels(64), 7, 2)(x)
        x = keras.layers.MaxPooling2D(3, 2, padding="same")(x)
    else:
        x = layers.conv(layers.channels(64), 3)(x)
    for stage, base in enumerate((64, 128, 256, 512)):
        for block in range(2):
            strides = 2 if stage > 0 and block == 0 else 1
            x = _block(layers, x, layers.channels(base), strides)
    x = keras.layers.ReLU()(layers.norm()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, x, name="resnet18")


def _block(layers, x, channels, strides):
    y = keras.layers.ReLU()(layers.norm()(x))
    shortcut = x
    if strides > 1 or x.shape[-1] != channels:
        shortcut = layers.conv(channels, 1, strides)(y)
    y = layers.conv(channels, 3, strides)(y)
    y = keras.layers.ReLU()(layers.norm()(y))
    return keras.layers.Add()([shortcut, layers.conv(channels, 3)(y)])
