"""Under a MirroredStrategy the figures are those of one device."""

import keras
import pytest

from tests.distributed import processes

if keras.backend.backend() != "tensorflow":
    pytest.skip("tf.distribute is TensorFlow's", allow_module_level=True)
pytest.importorskip("PIL.Image")
pytest.importorskip("sklearn")

from tests.callbacks.mirrored_job import PLACES

pytestmark = pytest.mark.slow
LIMIT = 600


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mirrored")
    with processes.running("tests.callbacks.mirrored_job", folder, [{}], LIMIT) as jobs:
        return processes.results(jobs, LIMIT)[0]


@pytest.mark.parametrize("place", PLACES)
def test_the_same_figures_as_on_one_device(found, place):
    assert "error" not in found[place], found[place]["traceback"]
    alone, mirrored = found[place]["alone"], found[place]["mirrored"]
    assert {"val_recall_at_1", "val_dir_at_far_0_2", "val_verification_auc"} <= alone.keys()
    assert mirrored.keys() == alone.keys()
    if place == "fit outside of the scope":
        assert mirrored["replicas"] == [1, 1]  # one does the work
    del mirrored["replicas"], alone["replicas"]
    for name, values in alone.items():
        assert mirrored[name] == pytest.approx(values, abs=1e-6), name
