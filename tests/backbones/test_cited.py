"""The cited systems: their sizes beside their papers', their layers, and what they refuse."""

import keras
import numpy as np
import pytest

from keras_vsoftmax import backbones
from keras_vsoftmax.backbones.learned_pooling import GatedPooling2D, MixedPooling2D, TreePooling2D


def _count(backbone, classes=10):
    """With a head without bias."""
    embedding = keras.tree.flatten(backbone.output)[-1].shape[-1]
    weights = sum(int(np.prod(weight.shape)) for weight in backbone.trainable_weights)
    return weights + embedding * classes


CIFAR, MNIST = (32, 32, 3), (28, 28, 1)


@pytest.mark.parametrize(
    ("identifier", "shape", "classes", "exact", "published"),
    [
        # As the paper on recurrent convolution lists them, and the authors' own files have them.
        ("maxout_mnist", MNIST, 10, 418_704, "0.42M"),
        ("nin", CIFAR, 10, 966_976, "0.97M"),
        ("nin", CIFAR, 100, 984_256, "0.98M"),
        ("nin_mnist", MNIST, 10, 349_664, "0.35M"),
        ("dsn", CIFAR, 10, 966_976, "0.97M"),
        ("dsn_mnist", MNIST, 10, 349_664, "0.35M"),
        ("recurrent_conv", MNIST, 10, 667_392, "0.67M"),
    ],
)
def test_parameter_counts_of_the_papers(identifier, shape, classes, exact, published):
    count = _count(backbones.get(identifier, shape), classes)
    assert count == exact
    assert f"{count / 1e6:.2f}M" == published


@pytest.mark.parametrize(
    ("channels", "published"), [(96, "0.67M"), (128, "1.19M"), (160, "1.86M"), (192, "2.67M")]
)
def test_parameters_of_recurrent_convolution(channels, published):
    backbone = backbones.get("recurrent_conv", CIFAR, channels=channels)
    count = _count(backbone)
    kernels = 8 * 9 * channels**2 + 25 * 3 * channels + 10 * channels
    assert count == kernels + 5 * channels  # a bias each
    assert f"{count / 1e6:.2f}M" == published
    by_width = backbones.get("recurrent_conv", CIFAR, width=channels / 96)
    assert _count(by_width) == count


@pytest.mark.parametrize("identifier", ["maxout_cifar", "maxout_svhn"])
def test_maxout_is_larger_than_five_million(identifier):
    """All that is said about it in print."""
    assert _count(backbones.get(identifier, CIFAR)) > 5e6


def test_learned_pools_add_what_the_paper_says():
    """A tree of two leaves and a gate, and one gate: four masks of 3x3."""
    plain, learned = (backbones.get(name, CIFAR, width=0.1) for name in ("nin", "genpool"))
    assert learned.count_params() - plain.count_params() == 4 * 9
    kinds = [type(layer) for layer in learned.layers if "pooling2d" in layer.name]
    assert kinds[:2] == [TreePooling2D, GatedPooling2D]
    mixed = backbones.get("genpool_mixed", CIFAR, width=0.1)  # one proportion each
    assert mixed.count_params() - plain.count_params() == 2


def test_the_plain_network_that_the_authors_of_active_convolution_published():
    """Its kernels, without the head's bias, as in the file of weights that they published."""
    backbone = backbones.get("acu_plain", CIFAR)
    kernels = [w for w in backbone.trainable_weights if w.path.endswith("kernel")]
    assert sum(int(np.prod(w.shape)) for w in kernels) + 10_000 == 851_776
    positions = [w for w in backbone.weights if w.path.endswith("positions")]
    assert len(positions) == 6


def test_the_residual_network_of_active_convolutions():
    """Kernels of nine bottlenecks, by hand, and positions in the middle of each."""
    backbone = backbones.get("acu", CIFAR)
    count, channels_in = 9 * 3 * 16, 16
    for base in (16, 32, 64):
        count += channels_in * 4 * base  # of the shortcut
        for _ in range(3):
            count += channels_in * base + 9 * base * base + base * 4 * base
            channels_in = 4 * base
    kernels = [w for w in backbone.trainable_weights if w.path.endswith("kernel")]
    assert sum(int(np.prod(w.shape)) for w in kernels) == count
    assert len([w for w in backbone.weights if w.path.endswith("positions")]) == 9
    assert backbone.output_shape == (None, 256)


@pytest.mark.parametrize("pools", [("mixed", "tree"), ("gated", "max")])
def test_pools_by_an_argument(pools):
    backbone = backbones.get("genpool", (8, 8, 3), width=0.05, pools=pools)
    kinds = {"mixed": MixedPooling2D, "tree": TreePooling2D, "gated": GatedPooling2D}
    kinds["max"] = keras.layers.MaxPooling2D
    found = [layer for layer in backbone.layers if isinstance(layer, tuple(kinds.values()))]
    assert [type(layer) for layer in found] == [kinds[pool] for pool in pools]


def test_deep_supervision_gives_the_maps_before_the_relu():
    keras.utils.set_random_seed(0)
    deep = backbones.get("dsn_mnist", MNIST, width=0.05)
    images = np.random.default_rng(0).integers(0, 256, (2, *MNIST)).astype("float32")
    *companions, top = deep.predict(images, verbose=0)
    assert [x.shape for x in companions] == [(2, 28 * 28 * 5), (2, 14 * 14 * 6), (2, 7 * 7 * 6)]
    first = next(layer for layer in deep.layers if isinstance(layer, keras.layers.Conv2D))
    maps = keras.ops.convert_to_numpy(first(images / 127.5 - 1)).reshape(2, -1)
    np.testing.assert_allclose(companions[0], maps * 0.001**0.5, rtol=1e-4, atol=1e-6)
    assert companions[0].min() < 0
    plain = backbones.get("nin_mnist", MNIST, width=0.05)
    plain.set_weights(deep.get_weights())
    np.testing.assert_allclose(plain.predict(images, verbose=0), top, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("identifier", "knobs", "message"),
    [
        ("maxout_mnist", {"dropout": 1.0}, "dropout=1.0"),
        ("maxout_mnist", {"input_dropout": -0.1}, "input_dropout=-0.1"),
        ("maxout_mnist", {"width": 0}, "width=0"),
        ("nin_mnist", {"dropout": float("nan")}, "dropout=nan"),
        ("nin_mnist", {"pools": ("max", "mean")}, r"2 of max, mixed, gated, tree.*'mean'"),
        ("nin_mnist", {"pools": ("max",)}, r"pools=\('max',\)"),
        ("recurrent_conv", {"iterations": -1}, "iterations=-1"),
        ("recurrent_conv", {"normalization": "layer"}, "normalization='layer'"),
        ("recurrent_conv", {"dropout": 2}, "dropout=2"),
        ("recurrent_conv", {"width": -1}, "width=-1"),
        ("acu", {"warmup": -1}, "warmup=-1"),
        ("acu_plain", {"width": float("nan")}, "width=nan"),
    ],
)
def test_errors_say_what_was_received(identifier, knobs, message):
    with pytest.raises(ValueError, match=message):
        backbones.get(identifier, MNIST, **knobs)


@pytest.mark.core
@pytest.mark.parametrize(
    ("identifier", "shape", "black"),
    [
        ("maxout_mnist", MNIST, 0),
        ("maxout_svhn", CIFAR, -1),
        ("recurrent_conv", MNIST, 0),
        ("recurrent_conv", CIFAR, -1),
        ("dsn_mnist", MNIST, -1),
    ],
)
def test_the_ground_of_the_images(identifier, shape, black):
    """Digits lie on zero where the papers' do: on -1, `maxout_mnist` diverged at its own rate."""
    backbone = backbones.get(identifier, shape, width=0.05)
    scaling = next(x for x in backbone.layers if isinstance(x, keras.layers.Rescaling))
    scaled = keras.ops.convert_to_numpy(scaling(np.array([0.0, 255.0])))
    np.testing.assert_allclose(scaled, [black, 1], atol=1e-6)


@pytest.mark.core
@pytest.mark.parametrize("name", ["nin_mnist", "maxout_mnist", "recurrent_conv"])
def test_the_masks_of_dropout_follow_its_state(name):
    network = backbones.get(name, (28, 28, 1), width=0.05)
    dropped = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
    ones = np.ones((4, 50), "float32")
    for layer in dropped:
        state = keras.ops.convert_to_numpy(layer.seed_generator.state)
        first = keras.ops.convert_to_numpy(layer(ones, training=True))
        layer.seed_generator.state.assign(state)
        again = keras.ops.convert_to_numpy(layer(ones, training=True))
        np.testing.assert_array_equal(first, again)
        assert 0 < np.mean(first == 0) < 1
    assert len(dropped) >= 2
