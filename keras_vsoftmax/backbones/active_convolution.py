"""A convolution that learns where it samples its input."""

import keras
import numpy as np
from keras import ops

from keras_vsoftmax.distributed import replica, steps
from keras_vsoftmax.heads.checks import check_range, is_integer
from keras_vsoftmax.utils.gradients import with_gradient


@keras.saving.register_keras_serializable(package="keras_vsoftmax")
class ActiveConv2D(keras.layers.Layer):
    """A convolution whose taps lie anywhere, at positions that are learned with the kernel.

        output(m, n) = sum_k W_k . input(m + r_k, n + c_k)

    (r_k, c_k) is the position of tap k, in pixels from the centre, the same for every pixel and
    channel; between pixels the input is interpolated bilinearly, beyond the image it is zero.
    The taps begin at the square of a plain convolution; the centre's stays there.

    Since interpolation is linear, this is a plain convolution with a larger kernel, into which
    the taps are spread (`spread_kernel`), and so it is computed. That is ours, and bounds the
    positions to `reach`.

    In training the optimiser sees in the place of a position's gradient g

        position_rate * g / |g|,

    and nothing in the first `warmup` steps. The steps are counted in a saved weight. On lattice
    points, where the bilinear form has a kink, g is the derivative to the right, as in the
    authors' code. Replicas of a distribution strategy normalise by themselves, and their mean is
    taken. Normalisation undoes the scaling of the loss, without which float16 does not
    train: the layer refuses float16, and trains in bfloat16.

    Args:
        filters: integer. Channels of the output.
        kernel_size: odd integer. The square of taps at the start.
        strides: integer, at most `kernel_size`.
        reach: integer, at least `kernel_size // 2`. Bound of each coordinate of a position.
        position_rate: float, at least 0. Rate of the positions over that of the kernel.
        warmup: integer, at least 0. Training steps in which the positions rest.
        kernel_initializer: of the kernel.
        kernel_regularizer: of the kernel; positions do not decay.
        **kwargs: the arguments of `keras.layers.Layer`.

    Input shape: (batch, height, width, channels).

    Output shape: (batch, ceil(height / strides), ceil(width / strides), filters), as with
    padding "same".

    Raises:
        ValueError: an argument out of its range, or a policy that computes in float16.

    Example:

    >>> import numpy as np
    >>> layer = ActiveConv2D(8)
    >>> layer(np.ones((2, 6, 6, 3), "float32")).shape == (2, 6, 6, 8)
    True
    >>> np.asarray(layer.positions)[:2].tolist()  # row and column of the first taps
    [[-1.0, -1.0], [-1.0, 0.0]]

    Source: Jeon, Kim, "Active Convolution: Learning the Shape of Convolution for Image
    Classification", CVPR 2017, section 3, with rates and warm-up as its authors published them.
    """

    def __init__(
        self,
        filters,
        kernel_size=3,
        strides=1,
        reach=3,
        position_rate=0.01,
        warmup=10_000,
        kernel_initializer="he_normal",
        kernel_regularizer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value, least in (
            ("filters", filters, 1),
            ("kernel_size", kernel_size, 1),
            ("strides", strides, 1),
            ("reach", reach, 0),
            ("warmup", warmup, 0),
        ):
            if not is_integer(value) or value < least:
                raise ValueError(
                    f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}"
                )
        if kernel_size % 2 == 0:
            raise ValueError(f"`kernel_size` must be odd. Received: kernel_size={kernel_size}")
        if strides > kernel_size:  # pixels that no tap sees; padding "same" would lie otherwise
            raise ValueError(
                f"`strides` must be at most kernel_size={kernel_size}. Received: strides={strides}"
            )
        if reach < kernel_size // 2:
            raise ValueError(
                f"`reach` must be at least {kernel_size // 2}, where the outer taps begin. "
                f"Received: reach={reach}"
            )
        check_range("position_rate", position_rate, low=0)
        if self.compute_dtype == "float16":
            raise ValueError(
                "The gradient of the positions is normalised, which undoes loss scaling: they "
                "would rest in float16. Use mixed_bfloat16 or float32. "
                f"Received: dtype={self.dtype_policy.name}"
            )
        self.filters = int(filters)
        self.kernel_size = int(kernel_size)
        self.strides = int(strides)
        self.reach = int(reach)
        self.position_rate = float(position_rate)
        self.warmup = int(warmup)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        size = self.kernel_size
        self.kernel = self.add_weight(
            name="kernel",
            shape=(size, size, input_shape[-1], self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            autocast=False,
        )
        rows, columns = np.indices((size, size)) - size // 2
        square = np.stack([rows.ravel(), columns.ravel()], axis=-1)
        self.positions = self.add_weight(
            name="positions",
            shape=square.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(square, dtype),
            constraint=_Within(self.reach),
            autocast=False,
        )
        self.step = steps.add_counter(self)

    def call(self, inputs, training=None):
        positions = ops.convert_to_tensor(self.positions)
        if training:
            positions = _with_normalised_gradient(positions, self._next_rate(positions.dtype))
        kernel = spread_kernel(ops.convert_to_tensor(self.kernel), positions, self.reach)
        kernel = ops.cast(kernel, inputs.dtype)
        return ops.conv(inputs, kernel, self.strides, padding="same")

    def _next_rate(self, dtype):
        moves = ops.cast(steps.count_one(self.step) >= self.warmup, dtype)
        return moves * (self.position_rate / replica.count())

    def compute_output_shape(self, input_shape):
        batch, *pixels, _ = input_shape
        pixels = [None if size is None else -(-size // self.strides) for size in pixels]
        return (batch, *pixels, self.filters)

    def get_config(self):
        names = ("filters", "kernel_size", "strides", "reach", "position_rate", "warmup")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def spread_kernel(kernel, positions, reach):
    """The kernel of the plain convolution that samples at positions between the pixels.

    Args:
        kernel: tensor (rows, columns, channels, filters) of the taps.
        positions: tensor (rows * columns, 2), row and column of each tap from the centre.
        reach: integer, no coordinate is larger.

    Returns:
        Tensor (2 reach + 1, 2 reach + 1, channels, filters): each tap is shared out among the
        four lattice points around its position by the weights of bilinear interpolation.
    """
    rows, columns = (_interpolation(positions[:, axis], reach) for axis in (0, 1))
    size = 2 * reach + 1
    weights = ops.reshape(rows[:, :, None] * columns[:, None, :], (-1, size * size))
    channels, filters = kernel.shape[2:]
    taps = ops.reshape(kernel, (-1, channels * filters))
    spread = ops.matmul(ops.transpose(weights), taps)
    return ops.reshape(spread, (size, size, channels, filters))


def _interpolation(coordinates, reach):
    """Weights (taps, 2 reach + 1) of the lattice points on both sides of each coordinate.

    By the floor and not by 1 - |distance|: that one's derivative is zero on the lattice, where
    the positions begin, and they would never leave it.
    """
    below = ops.stop_gradient(ops.floor(coordinates))[:, None]
    share = coordinates[:, None] - below
    lattice = ops.arange(-reach, reach + 1, dtype=coordinates.dtype)
    return ops.where(lattice == below, 1 - share, 0.0) + ops.where(lattice == below + 1, share, 0.0)


class _Within(keras.constraints.Constraint):
    """Keeps positions within the reach."""

    def __init__(self, reach):
        self.reach = reach

    def __call__(self, w):
        return ops.clip(w, -self.reach, self.reach)

    def get_config(self):
        return {"reach": self.reach}


def _with_normalised_gradient(positions, rate):
    """The positions; their gradient has the length `rate`, and is zero for the centre."""
    moved = np.ones((positions.shape[0], 1), "float32")
    moved[positions.shape[0] // 2] = 0

    def backward(tensors, _, gradient):
        length = ops.sqrt(ops.sum(ops.square(gradient), axis=-1, keepdims=True))
        length = ops.where(length > 0, length, 1.0)
        moving = ops.convert_to_tensor(moved, dtype=gradient.dtype)
        return tensors[1] * moving * gradient / length, None

    return with_gradient(lambda positions, rate: (positions, None), backward)(positions, rate)
