import keras
import numpy as np
import pytest

from keras_vsoftmax import backbones


def _trainable(model):
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


@pytest.mark.parametrize(
    ("identifier", "exact", "published"),
    [
        ("resnet18", 11_172_170, "11.2M"),
        ("resnet110", 1_727_962, "1.7M"),
        ("densenet40", 1_019_722, "1.0M"),
        ("wrn28_10", 36_479_194, "36.5M"),
    ],
)
def test_parameter_counts_of_the_papers(identifier, exact, published):
    """With the ten-class Dense head that the papers count."""
    backbone = backbones.get(identifier, (32, 32, 3))
    count = _trainable(keras.Sequential([backbone, keras.layers.Dense(10)]))
    assert count == exact
    assert f"{count / 1e6:.1f}M" == published


def _plain_count(channels_in, stages, kernel, features, embedding, embedding_norm=True):
    """Kernels, batch norm's scale and shift, PReLU's slope, from the table of the design."""
    count = 0
    for channels, convolutions in stages:
        for _ in range(convolutions):
            count += kernel * kernel * channels_in * channels + 3 * channels
            channels_in = channels
    return count + features * embedding + 2 * embedding * embedding_norm


@pytest.mark.parametrize(
    ("identifier", "shape", "count"),
    [
        (
            "plain_mnist",
            (28, 28, 1),
            _plain_count(1, [(64, 1), (64, 3), (64, 4), (64, 3)], 3, 3 * 3 * 64, 256),
        ),
        (
            "plain_cifar10",
            (32, 32, 3),
            _plain_count(3, [(64, 1), (64, 4), (96, 4), (128, 4)], 3, 4 * 4 * 128, 256),
        ),
        (
            "plain_cifar100",
            (32, 32, 3),
            _plain_count(3, [(96, 1), (96, 4), (192, 4), (384, 4)], 3, 4 * 4 * 384, 512),
        ),
        (
            "plain_2d",
            (28, 28, 1),
            _plain_count(1, [(32, 2), (64, 2), (128, 2)], 5, 3 * 3 * 128, 2, False),
        ),
    ],
)
def test_plain_networks_follow_the_table(identifier, shape, count):
    assert _trainable(backbones.get(identifier, shape)) == count


SMALL = {
    "resnet110": {"depth": 8},
    "densenet40": {"depth": 7, "growth": 4},
    "wrn28_10": {"depth": 10, "widen": 2},
    "sphereface20": {"depth": 10},
    "acu": {"depth": 11},
}


@pytest.mark.parametrize(
    "identifier",
    [*(pytest.param(name, marks=pytest.mark.core) for name in ("plain_mnist", "resnet18")), *SMALL],
)
def test_images_in_embeddings_out(identifier, tmp_path):
    shape = (28, 28, 1) if identifier == "plain_mnist" else (32, 32, 3)
    backbone = backbones.get(identifier, shape, width=0.125, **SMALL.get(identifier, {}))
    images = np.random.default_rng(0).integers(0, 256, (3, *shape)).astype("uint8")
    embeddings = backbone.predict(images, verbose=0)
    assert embeddings.shape == (3, *backbone.output_shape[1:])
    assert np.isfinite(embeddings).all()
    np.testing.assert_allclose(
        backbone.predict(images.astype("float32"), verbose=0), embeddings, rtol=1e-6
    )
    backbone.save(tmp_path / "backbone.keras")
    again = keras.saving.load_model(tmp_path / "backbone.keras")
    np.testing.assert_array_equal(again.predict(images, verbose=0), embeddings)


@pytest.mark.parametrize("identifier", backbones.NAMES)
def test_l2_is_on_every_kernel_and_nothing_else(identifier):
    knobs = {"width": 0.125, "l2": 0.01, **SMALL.get(identifier, {})}
    backbone = backbones.get(identifier, (32, 32, 3), **knobs)
    kernels = [w for w in backbone.trainable_weights if w.path.endswith("kernel")]
    expected = 0.01 * sum(np.sum(np.square(np.asarray(w, "float64"))) for w in kernels)
    assert kernels
    np.testing.assert_allclose(float(sum(backbone.losses)), expected, rtol=1e-5)
    backbone = backbones.get(identifier, (32, 32, 3), **{**knobs, "l2": 0})
    assert backbone.losses == []


@pytest.mark.core
@pytest.mark.parametrize(
    ("ending", "last", "length", "lowest"),
    [
        ("none", "Dense", 6, False),
        ("norm", "BatchNormalization", 6, False),
        ("norm+relu", "ReLU", 6, True),
        ("layer_norm", "LayerNormalization", 6, False),
        ("average", "GlobalAveragePooling2D", 16, False),
    ],
)
def test_plain_networks_end_as_asked(ending, last, length, lowest):
    backbone = backbones.get("plain_small", (28, 28, 1), width=0.125, embedding=6, ending=ending)
    assert type(backbone.layers[-1]).__name__ == last
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1)).astype("uint8")
    embeddings = backbone.predict(images, verbose=0)
    assert embeddings.shape == (4, length)
    assert (embeddings >= 0).all() == lowest


def test_a_shifted_norm_starts_at_one():
    backbone = backbones.get("plain_small", (28, 28, 1), width=0.1, ending="shifted_norm")
    np.testing.assert_array_equal(np.asarray(backbone.layers[-1].beta), 1)


def test_an_unknown_ending():
    with pytest.raises(ValueError, match=r"norm, shifted_norm, .*Received: ending='norm\+gelu'"):
        backbones.get("plain_small", (28, 28, 1), ending="norm+gelu")


def test_the_average_of_a_preactivation_network_is_not_negative():
    backbone = backbones.get("resnet18", (32, 32, 3), width=0.05)
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3))
    assert backbone.predict(images, verbose=0).min() >= 0


def test_batch_norm_is_synchronized_when_asked():
    for synchronized in (False, True):
        backbone = backbones.get("plain_mnist", (28, 28, 1), width=0.1, synchronized=synchronized)
        norms = [x for x in backbone.layers if isinstance(x, keras.layers.BatchNormalization)]
        assert len(norms) == 12
        assert {x.synchronized for x in norms} == {synchronized}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vgg", (32, 32, 3)), "plain_mnist, .*Received: identifier='vgg'"),
        (("plain_mnist", (28, 28, 1), 0), "width=0"),
        (("plain_mnist", (28, 28, 1), float("nan")), "width=nan"),
    ],
)
def test_errors_say_what_was_received(arguments, message):
    with pytest.raises(ValueError, match=message):
        backbones.get(*arguments)


@pytest.mark.parametrize("identifier", ["resnet110", "densenet40", "wrn28_10", "acu"])
def test_a_depth_the_family_has_not(identifier):
    with pytest.raises(ValueError, match="Received: depth=9"):
        backbones.get(identifier, (32, 32, 3), depth=9)


def test_a_knob_of_another_family_is_refused():
    for name, knob in (("resnet110", "ending"), ("nin", "depth"), ("plain_small", "warmup")):
        with pytest.raises(ValueError, match=f"backbone {name} has no `{knob}`; it has: "):
            backbones.get(name, (32, 32, 3), **{knob: 1})
