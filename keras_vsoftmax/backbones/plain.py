"""Plain stacks of convolutions, the networks of the published comparison."""

import keras

from keras_vsoftmax.backbones.layers import Layers, pixels, prelu


def plain(
    input_shape, stages, embedding, stem=None, kernel_size=3, embedding_norm=True, **settings
):
    """Stages of (convolution, batch norm, PReLU), each followed by a 2x2 max-pool.

    Args:
        input_shape: `(height, width, channels)` of an image with values from 0 to 255.
        stages: `(channels, convolutions)` of each stage.
        embedding: length of the embedding, which no width factor touches.
        stem: channels of one more convolution before the stages, or `None`.
        kernel_size: of every convolution.
        embedding_norm: batch normalisation after the embedding.
        **settings: `width`, `l2` and `synchronized`, see `backbones.get`.

    Returns:
        A `keras.Model` from images to embeddings of shape `(batch, embedding)`.

    Source: the network table of "Large-Margin Softmax Loss for Convolutional Neural Networks",
    ICML 2016, which the published comparison follows.
    """
    layers = Layers(**settings)
    image, x = pixels(input_shape)
    if stem is not None:
        x = _convolve(layers, x, stem, kernel_size)
    for channels, convolutions in stages:
        for _ in range(convolutions):
            x = _convolve(layers, x, channels, kernel_size)
        x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Flatten()(x)
    x = layers.dense(embedding)(x)
    if embedding_norm:
        x = layers.norm()(x)
    return keras.Model(image, x, name="plain")


def _convolve(layers, x, channels, kernel_size):
    return prelu()(layers.norm()(layers.conv(layers.channels(channels), kernel_size)(x)))
