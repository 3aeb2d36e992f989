import numpy as np
import pytest

from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.report import embedding_figures

for module in ("matplotlib", "sklearn", "PIL.Image"):
    pytest.importorskip(module)


@pytest.fixture
def samples():
    """Embeddings of three clear clusters, and an image of one colour each."""
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    embeddings = 4 * np.eye(3)[labels] + 0.1 * rng.normal(size=(30, 3))
    images = np.tile(rng.integers(0, 256, (30, 1, 1, 3)), (1, 6, 4, 1)).astype("uint8")
    return embeddings, images, labels


@pytest.mark.parametrize("method", embedding_figures.METHODS)
def test_a_map_keeps_clusters_apart(samples, method):
    embeddings, _, labels = samples
    points = embedding_figures.positions(embeddings, method)
    assert points.shape == (30, 2)
    centres = np.array([points[labels == k].mean(axis=0) for k in range(3)])
    nearest = np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, labels)


def test_figures_are_written(samples, tmp_path):
    embeddings, images, labels = samples
    points = embedding_figures.positions(embeddings, "pca")
    embedding_figures.thumbnails(points, images, labels, "map", tmp_path / "map.png")
    neighbours = np.array([[3, 1], [4, 0]])
    path = tmp_path / "strip.png"
    embedding_figures.strip(images[..., :1], labels, [0, 1], neighbours, "strip", path)
    from PIL import Image

    for name in ("map.png", "strip.png"):
        assert (tmp_path / name).stat().st_size > 2_000
    drawn = np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)
    colours = {tuple(pixel) for pixel in drawn}
    assert {(0x2A, 0x9D, 0x3A), (0xD6, 0x27, 0x28)} <= colours  # right and wrong frames


def test_the_projector_reads_what_is_written(samples, tmp_path):
    embeddings, images, labels = samples
    embedding_figures.projector(embeddings, images, labels, tmp_path)
    pytest.importorskip("tensorboard")
    from google.protobuf import text_format
    from PIL import Image
    from tensorboard.plugins.projector import ProjectorConfig

    config = ProjectorConfig()
    text_format.Parse((tmp_path / "projector_config.pbtxt").read_text(), config)
    (told,) = config.embeddings
    vectors = np.loadtxt(tmp_path / told.tensor_path, delimiter="\t")
    np.testing.assert_allclose(vectors, embeddings, rtol=1e-5, atol=1e-6)
    read = (tmp_path / told.metadata_path).read_text().split()
    assert read == [str(label) for label in labels]
    width, height = told.sprite.single_image_dim
    sheet = np.asarray(Image.open(tmp_path / told.sprite.image_path))
    assert sheet.shape == (6 * height, 6 * width, 3)
    np.testing.assert_array_equal(sheet[height : 2 * height, 2 * width : 3 * width], images[8])
    many = np.zeros((5, 8000, 1, 1), "uint8")
    with pytest.raises(ExperimentError, match="Received: 5 images of 8000x1"):
        embedding_figures.projector(embeddings[:5], many, labels[:5], tmp_path)


def test_what_cannot_be_drawn_is_seen_before(samples):
    embedding_figures.check(1296, (224, 224, 3))
    for count, message in ((2, "needs 3 images"), (1297, "1,296 images of this size")):
        with pytest.raises(ExperimentError, match=message):
            embedding_figures.check(count, (224, 224, 3))
    for method in embedding_figures.METHODS:
        assert embedding_figures.positions(samples[0][:3], method).shape == (3, 2)
