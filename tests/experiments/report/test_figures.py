import numpy as np
import pytest

from keras_vsoftmax.experiments.report import figures
from keras_vsoftmax.experiments.training import recipes, records

matplotlib = pytest.importorskip("matplotlib")


def _drawn(path):
    image = matplotlib.image.imread(path)
    assert path.stat().st_size < 200_000
    assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 10
    return image.shape


@pytest.fixture
def group(make_record):
    made = [make_record(h, s, 3.0 + s) for h in ("softmax", "virtual", "noisy") for s in (0, 1)]
    return records.groups(made)[0]


def test_convergence(tmp_path, group):
    figures.convergence(group, tmp_path / "convergence.png")
    _drawn(tmp_path / "convergence.png")


def test_similarity(tmp_path, group, make_record):
    other = records.groups([make_record("virtual", 0, 1.0, recipes.CIFAR10)])[0]
    figures.similarity([group, other], tmp_path / "similarity.png")
    height, width, _ = _drawn(tmp_path / "similarity.png")
    assert width > 2 * height


def test_features_of_a_whole_test_set(tmp_path):
    rng = np.random.default_rng(0)
    panels = {name: rng.normal(size=(10_000, 2)) for name in ("one", "two")}
    figures.features(panels, rng.integers(0, 10, 10_000), tmp_path / "features.png")
    _drawn(tmp_path / "features.png")
