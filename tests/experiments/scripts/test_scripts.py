"""Every script in quick mode, in this process: loading Keras anew would cost more than the run."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_vsoftmax.experiments.data import image_sets as data
from keras_vsoftmax.experiments.training import records
from tests.experiments.scripts.running import run_script as _main

ROOT = pathlib.Path(__file__).parents[3]
# The network with the fewest layers, since building the graph is what takes long.
TINY = ["--quick", "--backbone", "plain_2d", "--width", "0.1", "--epochs", "2"]


def _fails(script, *argv):
    """The exit status and the last line of a script that is to end with an error."""
    with pytest.raises(SystemExit) as caught:
        _main(script, *argv)
    return caught.value.code


@pytest.fixture
def npz(tmp_path):
    """A folder with a small MNIST and a small CIFAR100 of made-up images."""
    for name in ("mnist", "cifar100"):
        images = data.synthetic(name, (160, 100))
        arrays = {key: getattr(images, key) for key in ("x_train", "y_train", "x_test", "y_test")}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    return tmp_path


def _files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.core
@pytest.mark.slow
def test_a_run_leaves_models_and_a_record(npz, capsys):
    out = npz / "runs"
    _main("mnist", *TINY, "--data-dir", npz, "--out", out, "--seeds", 3)
    found = records.find([out])
    assert [(record["head"], record["seed"]) for record in found] == [
        ("softmax", 3),
        ("virtual", 3),
    ]
    images = data.load("mnist", npz)
    for record in found:
        folder = out / "mnist-quick" / "plain_2d-x0.1" / f"{record['head']}-seed3"
        left = [name for name in _files(folder) if not name.startswith("tensorboard")]
        assert left == ["best.keras", "last.keras", "record.json"]
        assert [row["epoch"] for row in record["epochs"]] == [1, 2]
        assert [row["iterations"] for row in record["epochs"]] == [2, 4]
        assert record["recipe"]["drops"] == [3, 3]
        assert record["data"]["train_images"] == 160
        assert keras.__version__ == record["versions"]["keras"]
        # The model on disk takes images alone and makes the reported error.
        model = keras.saving.load_model(folder / "last.keras")
        wrong = model.predict(images.x_test, verbose=0).argmax(-1) != images.y_test
        assert 100 * wrong.mean() == pytest.approx(records.last(record), abs=1e-4)
        cosines = record["cosines"]
        assert -1 <= cosines["nearest_other"] <= 1
    printed = capsys.readouterr().out
    assert "| Virtual Softmax | 0.28 |" in printed
    assert "**A trial of a few steps on a slice of the data, no measurement.**" in printed

    _main("report", out, "--out", npz / "report")
    written = (npz / "report" / "report.md").read_text()
    assert written.strip() in capsys.readouterr().out
    assert written.count("(n = 1)") == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "options", "left"),
    [
        ("svhn", [], None),
        ("cifar10", [], None),
        ("cifar100", ["--augment", "--precision", "mixed_bfloat16"], None),
        ("imagenet32", [], None),
        ("mnist_features", [], "features-synthetic.png"),
        ("convergence", [], "convergence-synthetic.png"),
        ("similarity", [], "similarity-synthetic.png"),
    ],
)
def test_scripts_in_quick_mode(tmp_path, capsys, script, options, left):
    _main(script, *TINY, "--synthetic", "--heads", "virtual", "--out", tmp_path, *options)
    printed = capsys.readouterr().out
    assert "SYNTHETIC DATA" in printed
    assert "Virtual Softmax" in printed
    if left:
        assert (tmp_path / left).stat().st_size > 5_000
        assert str(tmp_path / left) in printed


@pytest.mark.slow
def test_classes_that_are_not_trained_on(npz, capsys):
    (npz / "cifar100.npz").rename(npz / "birds.npz")
    options = [*TINY, "--heads", "virtual", "--data-dir", npz, "--out", npz / "runs"]
    _main("unseen_classes", *options, "--set", "birds", "--unseen", 60)
    assert "classes that were not trained on, leave-one-out" in capsys.readouterr().out
    (record,) = records.find([npz / "runs"])
    assert record["recipe"]["name"] == "unseen-60-of-birds"
    found = record["retrieval"]
    assert found["queries"] + found["left_out"] == record["data"]["unseen_images"] > 0
    assert _fails("unseen_classes", *options, "--set", "birds", "--unseen", 99) == 1
    assert "Received: 99 left out" in capsys.readouterr().err


@pytest.mark.slow
def test_a_map_of_what_was_not_trained_on(npz, capsys):
    options = [*TINY, "--heads", "virtual", "--data-dir", npz, "--out", npz / "runs"]
    _main("embedding_map", *options, "--unseen", 60, "--images", 30)
    printed = capsys.readouterr().out
    folder = pathlib.Path(printed.split("tensorboard --logdir ")[1].strip())
    assert (folder / "projector_config.pbtxt").exists()
    for name in ("map", "strip"):
        assert (npz / "runs" / f"{name}-virtual-seed0-quick.png").stat().st_size > 5_000


@pytest.mark.slow
@pytest.mark.parametrize("classify", [False, True])
def test_birds(tmp_path, classify):
    tfds = pytest.importorskip("tensorflow_datasets")
    options = [*TINY, "--heads", "virtual", "--image-size", 16, "--out", tmp_path]
    options += ["--classify"] * classify
    with tfds.testing.mock_data(num_examples=200):
        _main("cub200", *options, "--data-dir", tmp_path)
    (record,) = records.find([tmp_path])
    assert record["data"]["source"] == "tensorflow-datasets caltech_birds2011"
    if classify:
        assert record["data"]["train_images"] == 200
        assert "retrieval" not in record
    else:
        # All images of the last 100 species, those of the training split among them.
        assert record["data"]["unseen_images"] > 150
        assert record["recipe"]["name"] == "cub200-unseen"


@pytest.mark.slow
def test_tensorflow_datasets_feed_a_script(tmp_path):
    tfds = pytest.importorskip("tensorflow_datasets")
    with tfds.testing.mock_data(num_examples=130):
        _main("mnist", *TINY, "--heads", "softmax", "--data-dir", tmp_path, "--out", tmp_path)
    assert records.find([tmp_path])[0]["data"]["source"] == "tensorflow-datasets mnist"


MIRRORED = """
import sys
import tensorflow as tf

(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import cifar100

cifar100.main(sys.argv[1:])
"""


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute")
def test_mirrored_over_two_devices(tmp_path):
    """In a process of its own, since devices are set before TensorFlow starts."""
    options = [*TINY, "--synthetic", "--augment", "--heads", "noisy", "--strategy", "mirrored"]
    result = subprocess.run(
        [sys.executable, "-c", MIRRORED, *options, "--out", tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "examples")])},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    (record,) = records.find([tmp_path])
    assert record["replicas"] == 2
    (last,) = tmp_path.rglob("last.keras")
    layers = keras.saving.load_model(last).backbone.layers
    assert {x.synchronized for x in layers if hasattr(x, "synchronized")} == {True}


# Killed and resumed.

RUN = [*TINY[:-1], "3", "--synthetic", "--heads", "noisy", "--batch-size", "8", "--augment"]


def _weights(out):
    (path,) = out.rglob("last.keras")
    return keras.saving.load_model(path).get_weights()


@pytest.mark.slow
def test_killed_and_resumed_ends_in_the_same_weights(tmp_path, capsys):
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    process = subprocess.Popen(
        [sys.executable, ROOT / "examples" / "cifar100.py", *RUN, "--out", killed],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 300
        while not list(killed.rglob("backup/training_metadata.json")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        time.sleep(0.3)  # into the second epoch
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not list(killed.rglob(records.NAME))
    assert not list(killed.rglob("last.keras"))
    (progress,) = killed.rglob("progress.json")
    assert len(json.loads(progress.read_text())["rows"]) < 3

    _main("cifar100", *RUN, "--out", straight)
    _main("cifar100", *RUN, "--out", killed, "--resume")
    for one, other in zip(_weights(straight), _weights(killed), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    (one,), (other,) = records.find([straight]), records.find([killed])
    assert [row["epoch"] for row in other["epochs"]] == [1, 2, 3]
    for a, b in zip(one["epochs"], other["epochs"], strict=True):
        assert a["test_error"] == b["test_error"]
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-6)

    # Resumed once more: complete, and left alone. With other settings: refused.
    (model,) = killed.rglob("last.keras")
    before = model.stat().st_mtime_ns
    _main("cifar100", *RUN, "--out", killed, "--resume")
    assert "complete" in capsys.readouterr().out
    assert model.stat().st_mtime_ns == before
    assert _fails("cifar100", *RUN, "--out", killed, "--resume", "--learning-rate", "0.2") == 1
    assert "learning_rate 0.02 before, 0.2 now" in capsys.readouterr().err


@pytest.mark.slow
def test_interrupted_after_the_last_epoch(npz, capsys, monkeypatch):
    options = [*TINY, "--data-dir", npz, "--out", npz / "runs", "--heads", "virtual"]

    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(data, "class_cosines", interrupt)
        assert _fails("mnist", *options) == 130
    assert "--resume goes on" in capsys.readouterr().err
    (before,) = (npz / "runs").rglob("last.keras")
    weights = keras.saving.load_model(before).get_weights()
    _main("mnist", *options, "--resume")
    for one, other in zip(weights, _weights(npz / "runs"), strict=True):
        np.testing.assert_array_equal(one, other)
    assert len(records.find([npz / "runs"])[0]["epochs"]) == 2


# What a user can put right ends in one line.


def _one_line(capsys):
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("damage", ["truncated", "shape", "range"])
def test_bad_data(npz, capsys, damage):
    path = npz / "mnist.npz"
    arrays = dict(np.load(path))
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "shape":
        np.savez(path, **{**arrays, "x_train": arrays["x_train"][:, :20]})
    else:
        np.savez(path, **{**arrays, "y_test": arrays["y_test"] + 1})
    assert _fails("mnist", *TINY, "--data-dir", npz, "--out", npz / "runs") == 1
    assert f": error: {path}" in _one_line(capsys)
    assert _files(npz / "runs") == []


def test_a_folder_that_cannot_be_written(npz, capsys):
    (npz / "file").touch()
    assert _fails("mnist", *TINY, "--data-dir", npz, "--out", npz / "file" / "runs") == 1
    assert "Not a directory" in _one_line(capsys)


def test_no_records(tmp_path, capsys):
    assert _fails("report", tmp_path, "--out", tmp_path / "report") == 1
    assert "there is no record.json" in _one_line(capsys)
    assert _files(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize("limit", [120, 30_000])  # less than TensorBoard, than the weights take
def test_a_full_disk(npz, capsys, limit):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limits[1]))
    try:
        status = _fails("mnist", *TINY, "--data-dir", npz, "--out", npz / "runs")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "File too large" in err.splitlines()[-1]
    left = [name for name in _files(npz / "runs") if "tensorboard" not in name]
    assert left == []
