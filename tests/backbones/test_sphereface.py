import keras
import numpy as np
import pytest

from keras_vsoftmax import backbones

# (channels, stride) of each convolution, as the paper's table 2 lists the networks for 112x96.
PAPER = {
    4: [(64, 2), (128, 2), (256, 2), (512, 2)],
    20: [(64, 2)] + [(64, 1)] * 2
    + [(128, 2)] + [(128, 1)] * 4
    + [(256, 2)] + [(256, 1)] * 8
    + [(512, 2)] + [(512, 1)] * 2,
}  # fmt: skip


def count_by_hand(depth, width=1.0, embedding=512, channels_in=3, height=112, columns=96):
    """3x3 kernels, a slope a channel, a bias where the stride is 2, and the embedding."""
    count = 0
    for base, stride in PAPER[depth]:
        channels = round(base * width)
        count += 9 * channels_in * channels + channels + channels * (stride == 2)
        channels_in = channels
        height, columns = -(-height // stride), -(-columns // stride)
    return count + height * columns * channels_in * embedding + embedding


@pytest.mark.parametrize("depth", [4, 20])
@pytest.mark.parametrize("width", [1.0, 0.25])
def test_parameters_follow_the_paper(depth, width):
    backbone = backbones.get(f"sphereface{depth}", (112, 96, 3), width=width)
    assert backbone.count_params() == count_by_hand(depth, width)
    assert backbone.output_shape == (None, 512)


def test_the_network_of_the_paper():
    backbone = backbones.get("sphereface20", (112, 96, 3))
    convolutions = [x for x in backbone.layers if isinstance(x, keras.layers.Conv2D)]
    assert len(convolutions) == 20
    assert sum(isinstance(x, keras.layers.Add) for x in backbone.layers) == 8
    assert sum(isinstance(x, keras.layers.PReLU) for x in backbone.layers) == 20
    # 22,660,800 in kernels, 11,010,048 of them the embedding's; the rest slopes and biases.
    assert backbone.count_params() == count_by_hand(20) == 22_666_944


def test_width_leaves_the_embedding_alone():
    backbone = backbones.get("sphereface20", (28, 24, 1), width=0.125, embedding=7)
    assert backbone.output_shape == (None, 7)
    assert backbone.count_params() == count_by_hand(20, 0.125, 7, 1, 28, 24)


@pytest.mark.parametrize("depth", [10, 36, 64])
def test_depth_counts_the_convolutions(depth):
    backbone = backbones.get("sphereface20", (28, 24, 1), width=0.05, depth=depth)
    assert sum(isinstance(x, keras.layers.Conv2D) for x in backbone.layers) == depth


def test_residual_units_begin_near_the_identity():
    keras.utils.set_random_seed(0)
    backbone = backbones.get("sphereface20", (112, 96, 3), width=0.25)
    adds = [x for x in backbone.layers if isinstance(x, keras.layers.Add)]
    probe = keras.Model(backbone.input, [adds[0].input[0], adds[0].output])
    images = np.random.default_rng(0).integers(0, 256, (2, 112, 96, 3)).astype("float32")
    before, after = probe.predict(images, verbose=0)
    assert np.abs(after - before).max() < 0.1 * np.abs(before).max()


def test_unknown_depth_is_refused():
    with pytest.raises(ValueError, match=r"one of \[4, 10, 20, 36, 64\]. Received: depth=18"):
        backbones.get("sphereface20", (28, 24, 1), depth=18)
