"""Backbones of the published comparison, by identifier. None has a head: any head fits on any."""

import functools
import inspect

from keras_vsoftmax.backbones.acu import acu, acu_plain
from keras_vsoftmax.backbones.densenet import densenet
from keras_vsoftmax.backbones.maxout import maxout
from keras_vsoftmax.backbones.nin import nin
from keras_vsoftmax.backbones.plain import plain
from keras_vsoftmax.backbones.preactivation_resnet import preactivation_resnet
from keras_vsoftmax.backbones.recurrent_conv import recurrent_conv
from keras_vsoftmax.backbones.resnet import resnet
from keras_vsoftmax.backbones.sphereface import sphereface
from keras_vsoftmax.backbones.wide_resnet import wide_resnet

# (channels, kernel size, channels of the 1x1 convolutions) of each block; the head is the last.
_NIN = ((192, 5, (160, 96)), (192, 5, (192, 192)), (192, 3, (192,)))
_NIN_MNIST = ((96, 5, (64, 48)), (128, 5, (96, 48)), (128, 5, (96,)))

# As the networks that L-Softmax's authors released; results/trainability.md says what it changes.
_ENDING = "norm+relu"

_BUILDERS = {
    "plain_mnist": functools.partial(
        plain, stem=64, stages=((64, 3), (64, 4), (64, 3)), embedding=256, ending=_ENDING
    ),
    "plain_cifar10": functools.partial(
        plain, stem=64, stages=((64, 4), (96, 4), (128, 4)), embedding=256, ending=_ENDING
    ),
    "plain_cifar100": functools.partial(
        plain, stem=96, stages=((96, 4), (192, 4), (384, 4)), embedding=512, ending=_ENDING
    ),
    "plain_2d": functools.partial(
        plain,
        stages=((32, 2), (64, 2), (128, 2)),
        embedding=2,
        kernel_size=5,
        ending="none",
    ),
    "plain_small": functools.partial(
        plain, stages=((64, 1), (96, 1), (128, 1)), embedding=256, ending=_ENDING
    ),
    "resnet18": preactivation_resnet,
    "resnet18_photos": functools.partial(preactivation_resnet, photographs=True),
    "resnet110": resnet,
    "densenet40": densenet,
    "wrn28_10": wide_resnet,
    "sphereface20": sphereface,
    "sphereface4": functools.partial(sphereface, depth=4),
    # (channels, pieces, kernel size, padding, pool, max-norm) of each convolution.
    "maxout_mnist": functools.partial(
        maxout,
        stages=((48, 2, 8, 0, 4, 0.9), (48, 2, 8, 3, 4, 1.9365), (24, 4, 5, 3, 2, 1.9365)),
        black=0.0,
    ),
    "maxout_cifar": functools.partial(
        maxout,
        stages=((96, 2, 8, 4, 4, 0.9), (192, 2, 8, 3, 4, 1.9365), (192, 2, 5, 3, 2, 1.9365)),
        dense=(500, 5, 1.9),
    ),
    "maxout_svhn": functools.partial(
        maxout,
        stages=((64, 2, 5, 4, 3, 0.9), (128, 2, 5, 3, 3, 1.9365), (128, 2, 5, 3, 3, 1.9365)),
        dense=(400, 5, 1.9),
    ),
    "nin": functools.partial(nin, blocks=_NIN),
    "nin_mnist": functools.partial(nin, blocks=_NIN_MNIST),
    "dsn": functools.partial(nin, blocks=_NIN, companions=True, name="dsn"),
    "dsn_mnist": functools.partial(nin, blocks=_NIN_MNIST, companions=True, name="dsn"),
    "genpool": functools.partial(nin, blocks=_NIN, pools=("tree", "gated"), name="genpool"),
    "genpool_mixed": functools.partial(nin, blocks=_NIN, pools=("mixed",) * 2, name="genpool"),
    "recurrent_conv": recurrent_conv,
    "acu": acu,
    "acu_plain": acu_plain,
}

NAMES = tuple(_BUILDERS)


def get(identifier, input_shape, width=1.0, l2=2.5e-4, synchronized=False, **knobs):
    """Build the backbone that `identifier` names.

    Args:
        identifier: one of `backbones.NAMES`.
        input_shape: `(height, width, channels)` of an image with values from 0 to 255, integer
            or float; the scaling is part of the network: to [-1, 1], and for `maxout_mnist` and,
            with one channel, `recurrent_conv` to [0, 1].
        width: factor on the channels of every layer but the embedding of the plain networks and
            of SphereFace's.
        l2: `keras.regularizers.L2(l2)` on every kernel. The default is weight decay 5e-4 where
            decay means l2 * 2 * w added to the gradient, as in the published recipes; 0 for none.
        synchronized: batch normalisation over all replicas of a `tf.distribute` strategy.
        **knobs: the family's own: `depth` (`resnet110`, `densenet40`, `wrn28_10`,
            `sphereface20`, `acu`), `growth` (`densenet40`), `widen` (`wrn28_10`), `embedding`
            (the plain networks and SphereFace's), `ending` (the plain networks), `dropout`
            (maxout networks, those of the NIN family, `recurrent_conv`), `input_dropout` and
            `black` (maxout networks), `pools` (the NIN family: `nin`, `dsn`, `genpool`),
            `channels`, `iterations`, `normalization` and `black` (`recurrent_conv`), `warmup`
            (`acu`).

    Returns:
        A `keras.Model` from images to float embeddings of shape (batch, d). Those of `dsn` and
        `dsn_mnist` are the last of several outputs, features at several depths.

    Raises:
        ValueError: for an unknown identifier, a width that is not positive, or a depth, rate or
            other knob that the family has not.

    Example:

    >>> from keras_vsoftmax import backbones
    >>> backbone = backbones.get("plain_cifar10", (32, 32, 3), width=0.25)
    >>> backbone.output_shape
    (None, 256)
    """
    if identifier not in _BUILDERS:
        raise ValueError(
            f"Unknown backbone. Expected one of: {', '.join(NAMES)}. "
            f"Received: identifier={identifier!r}"
        )
    builder = _BUILDERS[identifier]
    known = [name for name in inspect.signature(builder).parameters][1:-1]  # between shape and rest
    for knob, value in knobs.items():
        if knob not in known:
            raise ValueError(
                f"The backbone {identifier} has no `{knob}`; it has: {', '.join(known) or 'none'}. "
                f"Received: {knob}={value!r}"
            )
    return builder(input_shape, width=width, l2=l2, synchronized=synchronized, **knobs)
