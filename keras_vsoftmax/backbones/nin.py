"""Network in Network, as it is, deeply supervised (DSN), and with learned pooling (GenPool)."""

import keras

from keras_vsoftmax.backbones.layers import Layers, check_rate, dropout_layer, pixels
from keras_vsoftmax.backbones.learned_pooling import GatedPooling2D, MixedPooling2D, TreePooling2D

# The rate of the companions' kernels is a thousandth of that of all others.
_COMPANION_RATE = 0.001

_POOLS = {"mixed": MixedPooling2D, "gated": GatedPooling2D, "tree": TreePooling2D}


def nin(
    input_shape, blocks, pools=("max", "max"), dropout=0.5, companions=False, name="nin", **settings
):
    """Convolutions, each followed by convolutions of 1x1, and the mean over all pixels at the end.

    The published network ends in a 1x1 convolution to the classes, then the mean over all
    pixels. Mean and linear map change places here: the embedding is the mean of the maps before
    it, and the head is that last layer, without its bias. As in DSN's configuration, no
    ReLU lies between the two. He's initialiser is ours (Gaussians of deviation 0.05 there), and
    so is what the images are brought to, [-1, 1] in the place of normalised contrast.

    With `companions` the network has an output for each `k x k` convolution, its maps before
    the ReLU, flattened, and the embedding as the last one, see `Classifier`. Each of the first
    is multiplied by sqrt(0.001): under SGD a head on it learns as if its rate were a thousandth
    of that of all others, as in the authors' configuration.

    Args:
        input_shape: `(height, width, channels)` of an image with values from 0 to 255.
        blocks: `(channels, kernel_size, channels of the 1x1 convolutions)` of each block.
        pools: what ends the blocks but the last: "max", "mixed", "gated" or "tree", windows of
            3x3 and stride 2.
        dropout: share of the values that are dropped after each pool.
        companions: whether the network gives features at several depths.
        name: of the model.
        **settings: `width`, `l2` and `synchronized`, see `backbones.get`; L2 is on the filters
            of learned pooling too, as in the authors' configuration.

    Returns:
        A `keras.Model` from images to embeddings.

    Raises:
        ValueError: unknown pools, a dropout outside [0, 1), or a width that is not positive.

    Source: Lin, Chen, Yan, "Network In Network", ICLR 2014, with the layers that its authors
    published (mavenlin/cuda-convnet); Lee, Xie et al., "Deeply-Supervised Nets", AISTATS 2015
    (s9xie/DSN); Lee, Gallagher, Tu, "Generalizing Pooling Functions in Convolutional Neural
    Networks: Mixed, Gated, and Tree", AISTATS 2016, which replaces the pools, the first by a
    tree of two levels and the second by gated pooling in its best network.
    """
    known = ("max", *_POOLS)
    if len(pools) != len(blocks) - 1 or not set(pools) <= set(known):
        raise ValueError(
            f"`pools` must be {len(blocks) - 1} of {', '.join(known)}. Received: pools={pools!r}"
        )
    check_rate("dropout", dropout)
    layers = Layers(**settings)
    image, x = pixels(input_shape)
    depths = []
    for index, (base, kernel_size, mixers) in enumerate(blocks):
        x = layers.conv(layers.channels(base), kernel_size, use_bias=True)(x)
        if companions:
            scaled = keras.layers.Rescaling(_COMPANION_RATE**0.5)(keras.layers.Flatten()(x))
            depths.append(scaled)
        x = keras.layers.ReLU()(x)
        for mixer in mixers:
            x = layers.conv(layers.channels(mixer), 1, use_bias=True)(x)
            x = keras.layers.ReLU()(x)
        if index < len(pools):
            x = _pool(layers, pools[index])(x)
            x = dropout_layer(dropout)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, [*depths, x] if companions else x, name=name)


def _pool(layers, name):
    if name == "max":
        return keras.layers.MaxPooling2D(3, 2, padding="same")
    if name == "mixed":  # has no filter
        return MixedPooling2D()
    return _POOLS[name](kernel_regularizer=layers.kernel_regularizer())
