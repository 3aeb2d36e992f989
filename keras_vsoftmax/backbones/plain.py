"""Plain stacks of convolutions, the networks of the published comparison."""

import keras

from keras_vsoftmax.backbones.layers import Layers, pixels, prelu

# What may follow the dense layer of the embedding, joined by "+".
_WORDS = ("norm", "shifted_norm", "layer_norm", "relu")


def plain(input_shape, stages, embedding, stem=None, kernel_size=3, ending="norm", **settings):
    """Stages of (convolution, batch norm, PReLU), each followed by a 2x2 max-pool.

    Args:
        input_shape: `(height, width, channels)` of an image with values from 0 to 255.
        stages: `(channels, convolutions)` of each stage.
        embedding: length of the embedding, which no width factor touches.
        stem: channels of one more convolution before the stages, or `None`.
        kernel_size: of every convolution.
        ending: what gives the embedding. "none" is a dense layer; words joined by "+" follow it,
            in this order: "norm" is batch normalisation, "shifted_norm" the same with its shift
            at 1 instead of 0, "layer_norm", "relu". "average" is, in the place of the dense
            layer, the average of the last stage over the image.
        **settings: `width`, `l2` and `synchronized`, see `backbones.get`.

    Returns:
        A `keras.Model` from images to embeddings of shape `(batch, embedding)`.

    Raises:
        ValueError: for an unknown ending.

    Source: the network table of "Large-Margin Softmax Loss for Convolutional Neural Networks",
    ICML 2016, which the published comparison follows.
    """
    words = check_ending(ending)
    layers = Layers(**settings)
    image, x = pixels(input_shape)
    if stem is not None:
        x = _convolve(layers, x, stem, kernel_size)
    for number, (channels, convolutions) in enumerate(stages, 1):
        for _ in range(convolutions):
            x = _convolve(layers, x, channels, kernel_size)
        if ending != "average" or number < len(stages):
            x = keras.layers.MaxPooling2D(2)(x)
    if ending == "average":
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(image, x, name="plain")
    x = layers.dense(embedding)(keras.layers.Flatten()(x))
    makers = {
        "norm": layers.norm,
        "shifted_norm": lambda: layers.norm(beta_initializer="ones"),
        "layer_norm": keras.layers.LayerNormalization,
        "relu": keras.layers.ReLU,
    }
    for word in words:
        x = makers[word]()(x)
    return keras.Model(image, x, name="plain")


def check_ending(ending):
    """The words of an ending, see `plain`.

    Raises:
        ValueError: for a word that it does not know.
    """
    words = [] if ending in ("none", "average") else str(ending).split("+")
    if not set(words) <= set(_WORDS):
        raise ValueError(
            f"`ending` must be none, average, or words joined by +, of: {', '.join(_WORDS)}. "
            f"Received: ending={ending!r}"
        )
    return words


def _convolve(layers, x, channels, kernel_size):
    return prelu()(layers.norm()(layers.conv(layers.channels(channels), kernel_size)(x)))
