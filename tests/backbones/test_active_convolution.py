import keras
import numpy as np
import pytest

from keras_vsoftmax.backbones.active_convolution import ActiveConv2D, spread_kernel
from tests import backends

pytestmark = pytest.mark.core

X = np.random.default_rng(0).normal(size=(2, 8, 7, 3)).astype("float32")


def _numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def _layer(**arguments):
    layer = ActiveConv2D(4, **arguments)
    layer.build(X.shape)
    return layer


@pytest.mark.parametrize(("size", "strides"), [(1, 1), (3, 1), (3, 2), (3, 3), (5, 2)])
@pytest.mark.parametrize("pixels", [7, 8])
def test_at_the_start_it_is_a_plain_convolution(size, strides, pixels):
    x = X[:, :pixels]
    layer = _layer(kernel_size=size, strides=strides)
    plain = keras.layers.Conv2D(4, size, strides, padding="same", use_bias=False)
    plain.build(x.shape)
    plain.kernel.assign(layer.kernel)
    np.testing.assert_allclose(_numpy(layer(x)), _numpy(plain(x)), rtol=1e-4, atol=1e-5)


def test_at_other_integers_it_is_a_dilated_convolution():
    layer = _layer()
    layer.positions.assign(2 * layer.positions)
    plain = keras.layers.Conv2D(4, 3, padding="same", dilation_rate=2, use_bias=False)
    plain.build(X.shape)
    plain.kernel.assign(layer.kernel)
    np.testing.assert_allclose(_numpy(layer(X)), _numpy(plain(X)), rtol=1e-4, atol=1e-5)


def _sample(x, row, column):
    """Bilinear, zero beyond the image: the value of each pixel moved by (row, column)."""
    pad = 5
    padded = np.pad(x.astype("float64"), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height, width = x.shape[1:3]
    value = 0
    for r in (np.floor(row), np.floor(row) + 1):
        for c in (np.floor(column), np.floor(column) + 1):
            weight = (1 - abs(row - r)) * (1 - abs(column - c))
            top, left = pad + int(r), pad + int(c)
            value = value + weight * padded[:, top : top + height, left : left + width]
    return value


def _oracle(x, kernel, positions):
    taps = kernel.reshape(-1, *kernel.shape[2:])
    return sum(_sample(x, *position) @ tap for position, tap in zip(positions, taps))


POSITIONS = np.random.default_rng(3).uniform(-3, 3, (9, 2)).astype("float32")


def test_between_pixels_against_numpy():
    layer = _layer()
    layer.positions.assign(POSITIONS)
    expected = _oracle(X, _numpy(layer.kernel), POSITIONS)
    np.testing.assert_allclose(_numpy(layer(X)), expected, rtol=1e-4, atol=1e-5)


def test_gradient_to_positions_against_finite_differences():
    """Where the positions lie between pixels; on the lattice there is no derivative."""
    assert np.abs(POSITIONS - np.round(POSITIONS)).min() > 2e-3
    layer = _layer()
    kernel = _numpy(layer.kernel)
    weights = np.random.default_rng(4).normal(size=(2, 8, 7, 4)).astype("float32")
    factor = keras.ops.convert_to_tensor(weights)

    def output(positions):
        # Outside training nothing is normalised.
        moved = [layer.kernel.value, positions]
        return factor * layer.stateless_call(moved, [layer.step.value], X, training=False)[0]

    _, (gradient,) = backends.value_and_gradients(output, POSITIONS)
    step = 1e-3
    expected = np.zeros_like(gradient)
    for index in np.ndindex(POSITIONS.shape):
        moved = POSITIONS.astype("float64")
        sums = []
        for sign in (1, -1):
            moved[index] = POSITIONS[index] + sign * step
            sums.append((weights * _oracle(X, kernel, moved)).sum())
        expected[index] = (sums[0] - sums[1]) / (2 * step)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-3)


def test_on_the_lattice_the_derivative_is_the_one_to_the_right():
    kernel = np.ones((1, 1, 1, 1), "float32")
    at = np.array([[0.0, 1.0]], "float32")

    def tap(positions, row, column):
        return spread_kernel(kernel, positions, 2)[2 + row, 2 + column, 0, 0]

    for row, column, expected in [(0, 1, [-1, -1]), (1, 1, [1, 0]), (0, 2, [0, 1]), (0, 0, [0, 0])]:
        _, (gradient,) = backends.value_and_gradients(lambda p, r=row, c=column: tap(p, r, c), at)
        np.testing.assert_array_equal(gradient, [expected])


def test_in_training_the_gradient_has_the_length_of_the_rate_after_the_warmup():
    layer = _layer(warmup=5, position_rate=0.01)

    def gradient(step):
        def output(positions):
            moved = [layer.kernel.value, positions]
            return layer.stateless_call(moved, [np.int32(step)], X, training=True)[0]

        return backends.value_and_gradients(output, POSITIONS)[1][0]

    np.testing.assert_array_equal(gradient(4), 0)
    lengths = np.linalg.norm(gradient(5), axis=-1)
    np.testing.assert_allclose(np.delete(lengths, 4), 0.01, rtol=1e-5)
    assert lengths[4] == 0  # the centre


def test_steps_are_counted_in_training_alone_and_saved(tmp_path):
    image = keras.Input(X.shape[1:])
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(ActiveConv2D(4)(image)))
    layer = model.layers[1]
    model(X)
    model(X, training=True)
    model(X, training=True)
    assert int(layer.step) == 2
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert int(again.layers[1].step) == 2


def test_positions_move_in_training_and_stay_within_reach():
    keras.utils.set_random_seed(0)
    image = keras.Input(X.shape[1:])
    conv = ActiveConv2D(4, warmup=3, position_rate=20.0, reach=2)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(conv(image)))
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    start = _numpy(conv.positions)
    targets = np.ones((2, 4))
    model.fit(X, targets, epochs=3, verbose=0)
    np.testing.assert_array_equal(_numpy(conv.positions), start)
    model.fit(X, targets, epochs=3, verbose=0)
    moved = _numpy(conv.positions)
    assert (np.abs(np.delete(moved - start, 4, 0)).max(-1) > 0.1).all()
    np.testing.assert_array_equal(moved[4], 0)
    assert np.abs(moved).max() <= 2
