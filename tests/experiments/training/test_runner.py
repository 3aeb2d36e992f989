"""Runs on a network of a few weights, where the scripts' tests use a real one."""

import contextlib
import dataclasses
import json
import types

import keras
import numpy as np
import pytest

from keras_vsoftmax import Classifier, backbones
from keras_vsoftmax.backbones.layers import dropout_layer
from keras_vsoftmax.distributed.backup import Backup
from keras_vsoftmax.experiments.data import image_sets as data
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.training import callbacks, recipes, records, runner


def _network(identifier, input_shape, width, l2, synchronized, **knobs):
    image = keras.Input(input_shape)
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3, strides=4)(x))
    x = dropout_layer(0.3)(keras.layers.Flatten()(x))
    return keras.Model(image, keras.layers.Dense(8)(x))


@pytest.fixture
def make_run(monkeypatch, tmp_path):
    monkeypatch.setattr(backbones, "get", _network)

    def make(folder="runs", head="noisy", **changes):
        short = {"batch_size": 16, "iterations": 12, "drops": (7, 10), "learning_rate": 0.02}
        recipe = dataclasses.replace(recipes.CIFAR100_PLUS, **{**short, **changes})
        return runner.Run(recipe, head, 0, tmp_path / folder)

    return make


@pytest.fixture(scope="module")
def images():
    return data.synthetic("cifar100", (64, 32))


def _weights(run):
    return keras.saving.load_model(run.last_model).get_weights()


@pytest.mark.core
def test_interrupted_in_mid_epoch_and_resumed(make_run, images, monkeypatch):
    # Labels are disturbed and features dropped as well: draws of all kinds go on as they would.
    straight, stopped, again = (
        make_run(name, disturb_label=0.3) for name in ("straight", "stopped", "again")
    )
    expected = runner.train(straight, images)
    # The same again: what a resumed run is compared with is no accident.
    runner.train(again, images)
    for one, other in zip(_weights(straight), _weights(again), strict=True):
        np.testing.assert_array_equal(one, other)

    def interrupt(self, batch, logs=None):
        if len(self.rows) == 1 and batch == 1:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Progress, "on_train_batch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            runner.train(stopped, images)
    assert not (stopped.folder / records.NAME).exists()
    record = runner.train(stopped, images, resume=True)
    assert [row["epoch"] for row in record["epochs"]] == [1, 2, 3]
    for one, other in zip(record["epochs"], expected["epochs"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-6)
    for one, other in zip(_weights(stopped), _weights(straight), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_heads_start_from_the_same_backbone(make_run, images):
    started = []
    for head in ("softmax", "virtual"):
        run = make_run(head=head, learning_rate=0.0)
        runner.train(run, images)
        started.append(keras.saving.load_model(run.last_model).backbone.trainable_weights)
    for one, other in zip(*started, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_killed_between_the_two_files_of_a_backup(make_run, images, monkeypatch):
    """The number of the epoch is one behind the weights: the epoch is not trained twice."""
    straight, killed = make_run("straight"), make_run("killed")
    runner.train(straight, images)

    def die(self, epoch, logs=None):
        before = self.metadata_path.read_text() if epoch else None
        self.write(epoch + 1)
        if epoch == 1:
            self.metadata_path.write_text(before)
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Backup, "on_epoch_end", die)
        with pytest.raises(KeyboardInterrupt):
            runner.train(killed, images)
    record = runner.train(killed, images, resume=True)
    assert [row["epoch"] for row in record["epochs"]] == [1, 2, 3]
    for one, other in zip(_weights(killed), _weights(straight), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_without_resume_a_run_is_replaced(make_run, images):
    run = make_run(head="softmax")
    first = runner.train(run, images)
    second = runner.train(make_run(head="softmax", iterations=4), images)
    assert (len(first["epochs"]), len(second["epochs"])) == (3, 1)
    assert records.find([run.out]) == [json.loads(json.dumps(second))]


def test_resume_of_other_settings_is_refused(make_run, images):
    run = make_run(head="softmax")
    runner.train(run, images)
    with pytest.raises(ExperimentError, match=r"learning_rate 0\.02 before, 0\.5 now"):
        runner.train(make_run(head="softmax", learning_rate=0.5), images, resume=True)


def test_a_run_from_before_a_field_of_the_recipe_is_kept(make_run, images):
    run = make_run(head="softmax", iterations=4, virtual_strength=1.0)
    record = runner.train(run, images)
    del record["recipe"]["virtual_strength"]
    records.write(record, run.folder / records.NAME)
    assert runner.train(run, images, resume=True) == json.loads(json.dumps(record))
    # What the runs of that time did is not what the recipe asks for now.
    with pytest.raises(ExperimentError, match=r"virtual_strength 1\.0 before, 0\.5 now"):
        runner.train(make_run(head="softmax", iterations=4), images, resume=True)


def test_divergence_leaves_no_record(make_run, images):
    run = make_run(head="softmax", learning_rate=1e30, iterations=4)
    # Nothing goes on from what it left either.
    for resume in (False, True, True):
        with pytest.raises(FloatingPointError, match="diverged in epoch 1"):
            runner.train(run, images, resume=resume)
    assert records.NAME not in [path.name for path in run.folder.iterdir()]


def test_test_loss_that_is_not_finite(make_run, images, monkeypatch):
    def evaluate(self, *args, **kwargs):
        return {"loss": float("nan"), "accuracy": 0.5}

    monkeypatch.setattr(Classifier, "evaluate", evaluate)
    with pytest.raises(FloatingPointError, match="The test loss of epoch 1 is nan"):
        runner.train(make_run(head="softmax"), images)


def test_what_cannot_be_measured(make_run, images, monkeypatch):
    def embed(self, x, **kwargs):
        return np.full((len(x), 2), np.nan)

    monkeypatch.setattr(Classifier, "embed", embed)
    run = make_run(head="softmax", iterations=4)
    with pytest.raises(ExperimentError, match=r"cannot be measured \(.*NaN"):
        runner.train(run, images)
    assert not (run.folder / records.NAME).exists()


def test_backup_files_are_whole_or_not_there(make_run, images, monkeypatch):
    """Killed while the weights of the second epoch are written: the first ones are still there."""
    straight, killed = make_run("straight"), make_run("killed")
    runner.train(straight, images)

    def save_half(self, filepath, *args, **kwargs):
        save_weights(self, filepath, *args, **kwargs)
        if (killed.folder / "backup" / "latest.weights.h5").exists():
            with open(filepath, "r+b") as file:
                file.truncate(1000)
            raise RuntimeError("h5py cannot close it")

    save_weights = Classifier.save_weights
    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "save_weights", save_half)
        with pytest.raises(OSError, match="cannot close"):
            runner.train(killed, images)
    left = sorted(path.name for path in (killed.folder / "backup").iterdir())
    assert left == ["latest.weights.h5", "training_metadata.json"]
    runner.train(killed, images, resume=True)
    for one, other in zip(_weights(killed), _weights(straight), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_disturbed_labels_are_another_run(make_run, images):
    plain, disturbed = make_run(head="softmax"), make_run(head="softmax", disturb_label=1.0)
    assert disturbed.folder.parent.name == f"{plain.folder.parent.name}-disturb1"
    runner.train(plain, images)
    record = runner.train(disturbed, images)
    assert record["recipe"]["disturb_label"] == 1.0
    assert record["epochs"][-1]["train_error"] > 90  # of 100 classes, nothing to be learnt


def test_precision_is_put_back(make_run, images):
    before = keras.config.dtype_policy()
    record = runner.train(make_run(precision="mixed_bfloat16"), images)
    assert keras.config.dtype_policy() == before
    assert record["recipe"]["precision"] == "mixed_bfloat16"


def test_a_backup_without_its_errors_is_not_trained_on(make_run, images, monkeypatch):
    run, trained = make_run(), []

    def interrupt(self, batch, logs=None):
        trained.append(batch)
        if len(self.rows) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(callbacks.Progress, "on_train_batch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        runner.train(run, images)
    (run.folder / "progress.json").unlink()
    trained.clear()
    with pytest.raises(ExperimentError, match="the errors of 0 of the 1 epochs"):
        runner.train(run, images, resume=True)
    assert not trained


def test_a_worker_that_was_through_is_resumed_with_the_first(make_run, images, monkeypatch):
    run = make_run()
    worker = types.SimpleNamespace(
        cluster_resolver=types.SimpleNamespace(task_id=1), num_replicas_in_sync=1
    )
    monkeypatch.setattr(runner.strategies, "scope", lambda strategy: contextlib.nullcontext())
    monkeypatch.setattr(runner.strategies, "is_chief", lambda strategy: strategy is None)
    kept = {}

    def stop(self, *arguments):
        kept["rows"] = json.loads((run.folder / "progress.json").read_text())["rows"]
        raise KeyboardInterrupt

    # In a job they train side by side. The worker has no backup of its own.
    record = runner.train(run, images, worker)
    with monkeypatch.context() as patched:
        patched.setattr(data.ImageSet, "measure", stop)
        with pytest.raises(KeyboardInterrupt):
            runner.train(run, images)
    resumed = runner.train(run, images, worker, resume=True)
    assert len(resumed["epochs"]) == len(kept["rows"]) == 3
    assert resumed["epochs"] == record["epochs"]
    assert not (run.folder / "record.json").exists()


def test_an_old_backup_that_stays_is_an_error(make_run, images, monkeypatch):
    run = make_run()
    (run.folder / "backup").mkdir(parents=True)

    def refuse(path, ignore_errors=False):
        if not ignore_errors:
            raise PermissionError(f"{path}: not permitted")

    monkeypatch.setattr(runner.shutil, "rmtree", refuse)
    with pytest.raises(PermissionError, match="backup: not permitted"):
        runner.train(run, images)


@pytest.mark.parametrize("knobs", [{"backbone": "resnet110", "ending": "norm"}])
def test_a_backbone_that_cannot_be_built(tmp_path, images, knobs):
    recipe = dataclasses.replace(recipes.CIFAR100, iterations=2, batch_size=16, **knobs)
    message = "resnet110: cannot be built .*has no `ending`; it has: depth"
    with pytest.raises(ExperimentError, match=message):
        runner.train(runner.Run(recipe, "softmax", 0, tmp_path), images)
