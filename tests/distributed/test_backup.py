"""The backup on one device: a run that was killed ends in the weights of one that was not."""

import json
import types

import keras
import numpy as np
import pytest

from keras_vsoftmax.distributed.backup import Backup
from tests import tiny

pytestmark = pytest.mark.core

HOW = {"epochs": 4, "batch_size": 8, "shuffle": False, "verbose": 0}


class Kill(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise KeyboardInterrupt


def classifier():
    return tiny.classifier("angular", optimizer="adam")


def killed_and_resumed(folder, between=lambda: None, model=classifier, **how):
    x, y = tiny.data()
    with pytest.raises(KeyboardInterrupt):
        model().fit(x, y, callbacks=[Backup(folder), Kill(2)], **HOW, **how)
    between()
    resumed = model()
    history = resumed.fit(x, y, callbacks=[Backup(folder)], **HOW, **how)
    return resumed, history.epoch


@pytest.fixture(scope="module")
def straight():
    model = classifier()
    model.fit(*tiny.data(), **HOW)
    return model


def test_a_killed_run_goes_on(straight, tmp_path):
    resumed, epochs = killed_and_resumed(tmp_path / "backup")
    assert epochs == [2, 3]
    tiny.assert_same_weights(resumed, straight)
    assert not (tmp_path / "backup").exists()  # the run is over
    assert resumed.fit(*tiny.data(), **HOW).epoch == [0, 1, 2, 3]


@pytest.mark.parametrize("written", [{"epoch": 1, "batch": 0, "steps": 3}, {"epoch": 1}, None])
def test_killed_between_the_two_files(straight, tmp_path, written):
    """The number of the epoch is one behind the weights, or not there."""
    metadata = tmp_path / "training_metadata.json"

    def between():
        metadata.write_text(json.dumps(written)) if written else metadata.unlink()

    resumed, epochs = killed_and_resumed(tmp_path, between)
    assert epochs == [2, 3]
    tiny.assert_same_weights(resumed, straight)


def test_a_model_that_was_trained_before_is_trained_for_all_its_epochs(tmp_path):
    """Its optimizer has counted steps that belong to no epoch of this training."""
    x, y = tiny.data()

    def before():
        model = classifier()
        model.fit(x, y, **HOW)
        return model

    expected = before()
    expected.fit(x, y, **HOW)
    resumed, epochs = killed_and_resumed(tmp_path, model=before)
    assert epochs == [2, 3]
    tiny.assert_same_weights(resumed, expected)


def test_it_reads_what_keras_wrote(straight, tmp_path):
    x, y = tiny.data()
    keras_backup = keras.callbacks.BackupAndRestore(str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        classifier().fit(x, y, callbacks=[keras_backup, Kill(2)], **HOW)
    resumed = classifier()
    assert resumed.fit(x, y, callbacks=[Backup(tmp_path)], **HOW).epoch == [2, 3]
    tiny.assert_same_weights(resumed, straight)


def test_a_kept_backup(tmp_path):
    x, y = tiny.data()
    for epochs in ([0, 1, 2, 3], []):
        assert (
            classifier().fit(x, y, callbacks=[Backup(tmp_path, keep=True)], **HOW).epoch == epochs
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "latest.weights.h5",
        "training_metadata.json",
    ]


def test_an_epoch_that_diverged_is_not_backed_up(tmp_path):
    x, y = tiny.data()
    model = tiny.classifier(optimizer=keras.optimizers.SGD(1e30))
    with pytest.raises(FloatingPointError):
        model.fit(x, y, callbacks=[Backup(tmp_path, keep=True)], **HOW)
    assert list(tmp_path.iterdir()) == []


def test_another_worker_reads_and_does_not_write(straight, tmp_path):
    cluster = types.SimpleNamespace(jobs=["worker"])
    resolver = types.SimpleNamespace(task_type="worker", task_id=1, cluster_spec=lambda: cluster)
    other = types.SimpleNamespace(cluster_resolver=resolver)
    x, y = tiny.data()
    classifier().fit(x, y, callbacks=[Backup(tmp_path, keep=True)], **{**HOW, "epochs": 2})
    before = (tmp_path / "training_metadata.json").read_text()
    model = classifier()
    assert model.fit(x, y, callbacks=[Backup(tmp_path, other)], **HOW).epoch == [2, 3]
    tiny.assert_same_weights(model, straight)
    assert (tmp_path / "training_metadata.json").read_text() == before


def test_a_model_that_is_not_built(tmp_path):
    model = keras.Sequential([keras.layers.Dense(2)])
    backup = Backup(tmp_path)
    backup.set_model(model)
    with pytest.raises(ValueError, match=r"must be built before.*Received: the model 'sequential"):
        backup.on_train_begin()
    assert np.size(model.weights) == 0


def test_what_ends_in_an_error_keeps_the_backup(straight, tmp_path):
    x, y = tiny.data()
    folder = tmp_path / "backup"
    spoilt = np.where(np.arange(len(x))[:, None] == 5, np.nan, x)
    model = classifier()
    model.fit(x, y, callbacks=[Backup(folder), Kill(9)], **{**HOW, "epochs": 1})
    assert not folder.exists()  # nothing went wrong
    model = classifier()
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, callbacks=[Backup(folder), Kill(2)], **HOW)
    with pytest.raises(FloatingPointError):
        classifier().fit(spoilt, y, callbacks=[Backup(folder)], **HOW)
    resumed = classifier()
    assert resumed.fit(x, y, callbacks=[Backup(folder)], **HOW).epoch == [2, 3]
    tiny.assert_same_weights(resumed, straight)
    assert not folder.exists()
