"""The residual networks that SphereFace made standard for faces."""

import keras

from keras_vsoftmax.backbones.layers import Layers, pixels, prelu

# Residual units of two convolutions in each of the four stages, by depth.
_UNITS = {4: (0, 0, 0, 0), 10: (0, 1, 2, 0), 20: (1, 2, 4, 1), 36: (2, 4, 8, 2), 64: (3, 8, 16, 3)}


def sphereface(input_shape=(112, 96, 3), depth=20, embedding=512, **settings):
    """Four stages that halve the image, PReLU after every convolution, no batch norm.

    Args:
        input_shape: `(height, width, channels)` of an image with values from 0 to 255.
        depth: number of convolutions: 4 (plain, without residual units), 10, 20, 36 or 64.
        embedding: length of the embedding, which no width factor touches.
        **settings: `width`, `l2` and `synchronized`, see `backbones.get`.

    Returns:
        A `keras.Model` from images to embeddings of shape `(batch, embedding)`.

    Raises:
        ValueError: for a depth that is not in the paper, or a width that is not positive.

    Source: "SphereFace: Deep Hypersphere Embedding for Face Recognition", CVPR 2017, table 2, with
    the initialisers of the network that its authors published.
    """
    if depth not in _UNITS:
        raise ValueError(f"`depth` must be one of {list(_UNITS)}. Received: depth={depth}")
    layers = Layers(**settings)
    image, x = pixels(input_shape)
    for base, units in zip((64, 128, 256, 512), _UNITS[depth]):
        channels = layers.channels(base)
        # Caffe's "xavier", variance 1 / fan-in.
        x = layers.conv(channels, 3, 2, kernel_initializer="lecun_uniform", use_bias=True)(x)
        x = prelu()(x)
        for _ in range(units):
            y = x
            for _ in range(2):
                # So small that each unit begins close to the identity.
                small = keras.initializers.RandomNormal(stddev=0.01)
                y = prelu()(layers.conv(channels, 3, kernel_initializer=small)(y))
            x = keras.layers.Add()([x, y])
    x = keras.layers.Flatten()(x)
    x = layers.dense(embedding, kernel_initializer="lecun_uniform", use_bias=True)(x)
    return keras.Model(image, x, name=f"sphereface{depth}")
