"""Each cited system trains by one command, with its own head and with Virtual Softmax on top."""

import keras
import numpy as np
import pytest

from keras_vsoftmax.experiments.data import image_sets
from keras_vsoftmax.experiments.training import records
from tests.experiments.scripts.running import run_script

# With the share of the labels that are redrawn.
SYSTEMS = {
    "maxout_mnist": 0.0,
    "dsn_mnist": 0.0,
    "recurrent_conv": 0.0,
    "genpool": 0.1,
    "acu": 0.0,
}


# Every backend trains one with heads at hidden layers, and one with redrawn labels and pooling of
# its own; the layers of the others are tested there by themselves.
EVERYWHERE = ("dsn_mnist", "genpool")


@pytest.mark.slow
@pytest.mark.parametrize(
    "system",
    [pytest.param(name, marks=[pytest.mark.core] * (name in EVERYWHERE)) for name in SYSTEMS],
)
def test_one_command_in_quick_mode(system, tmp_path, capsys):
    images = image_sets.synthetic("mnist", (64, 32))
    arrays = {key: getattr(images, key) for key in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(tmp_path / "mnist.npz", **arrays)
    options = ["--quick", "--data-dir", tmp_path, "--out", tmp_path / "runs", "--width", "0.05"]
    options += ["--backbone", system, "--disturb-label", SYSTEMS[system]]
    options += ["--batch-size", "32", "--epochs", "2", "--heads", "softmax", "virtual"]
    run_script("mnist", *options)
    assert "| Virtual Softmax | 0.28 |" in capsys.readouterr().out
    found = records.find([tmp_path / "runs"])
    assert [record["head"] for record in found] == ["softmax", "virtual"]
    for record in found:
        assert record["recipe"]["disturb_label"] == SYSTEMS[system]
        assert len(record["epochs"]) == 2
        assert all(np.isfinite(row["loss"]) for row in record["epochs"])
        # DSN's three companions are in the record; what they lose is what trains them.
        losses = [row[key] for row in record["epochs"] for key in row if "companion" in key]
        assert len(losses) == (6 if system == "dsn_mnist" else 0)
        assert np.all(np.isfinite(losses))
    # What is left predicts from images alone, the top alone.
    (path,) = (tmp_path / "runs").rglob("virtual-seed0/last.keras")
    model = keras.saving.load_model(path)
    assert model.predict(images.x_test, verbose=0).shape == (32, 10)
    assert model.count_params() == found[1]["parameters"]
