"""Local response normalisation over the channels, which Keras has not."""

import keras
import numpy as np
from keras import ops

from keras_vsoftmax.heads.checks import is_integer


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class LocalResponseNormalization(keras.layers.Layer):
    """Each channel divided by a function of its neighbours at the same place.

        output_k = x_k / (1 + (alpha / size) sum_{|j - k| <= size // 2} x_j^2)^beta

    The sum is over the channels that there are. It is computed in float32 at least.

    Args:
        size: odd integer, or `None` for the odd number at or below channels / 8 + 1.
        alpha: strength.
        beta: exponent.
        **kwargs: the arguments of `keras.layers.Layer`.

    Input shape, output shape: (..., channels).

    Raises:
        ValueError: a size that is no positive odd integer.

    Example:

    >>> import numpy as np
    >>> layer = LocalResponseNormalization(size=1, alpha=3.0, beta=0.5)
    >>> np.asarray(layer(np.array([[1.0, 0.0]])))  # 1 / sqrt(1 + 3)
    array([[0.5, 0. ]], dtype=float32)

    Source: Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", NeurIPS 2012, in the form and with the constants of Liang, Hu, CVPR 2015, eq. 4.
    """

    def __init__(self, size=None, alpha=0.001, beta=0.75, **kwargs):
        super().__init__(**kwargs)
        if size is not None and (not is_integer(size) or size < 1 or size % 2 == 0):
            raise ValueError(f"`size` must be a positive odd integer. Received: size={size!r}")
        self.size = size
        self.alpha = float(alpha)
        self.beta = float(beta)

    def call(self, inputs):
        channels = inputs.shape[-1]
        size = self.size
        if size is None:
            size = channels // 8 + 1
            size -= size % 2 == 0
        half = size // 2
        index = np.arange(channels)
        band = np.abs(index[:, None] - index) <= half
        dtype = "float64" if self.compute_dtype == "float64" else "float32"
        x = ops.cast(inputs, dtype)
        near = ops.matmul(ops.square(x), ops.convert_to_tensor(band.astype(dtype)))
        scale = ops.power(1 + self.alpha / size * near, -self.beta)
        return ops.cast(x * scale, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        names = ("size", "alpha", "beta")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
