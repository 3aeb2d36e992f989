"""The oracle between a chief and its workers, with a clock that the test moves."""

import os
import threading

import keras_tuner
import pytest

from keras_vsoftmax.tuning import oracles

pytestmark = pytest.mark.core


class Clock:
    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(oracles, "time", made)
    return made


@pytest.fixture
def oracle(tmp_path, clock):
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 0.0, 1.0)
    made = oracles.RandomSearchOracle(
        worker_timeout=60, objective="val_accuracy", max_trials=3, hyperparameters=hp, seed=1
    )
    made._set_project_dir(tmp_path, "search")
    made.verbose = 0
    return made


def end(oracle, trial, score=0.5, status="COMPLETED"):
    # What comes over the wire is a copy.
    trial = keras_tuner.engine.trial.Trial.from_proto(trial.to_proto())
    if status == "COMPLETED":
        oracle.update_trial(trial.trial_id, {"val_accuracy": score})
    trial.status = status
    oracle.end_trial(trial)


def test_no_worker_is_sent_home_while_another_has_a_trial(oracle):
    first, second, third = (oracle.create_trial(name) for name in ("a", "b", "c"))
    end(oracle, second)
    assert oracle.create_trial("b").status == "IDLE"
    end(oracle, first)
    assert oracle.create_trial("b").status == "IDLE"
    end(oracle, third)
    assert [oracle.create_trial(name).status for name in "abc"] == ["STOPPED"] * 3
    assert not oracle.tuner_ids  # the chief may go


def test_the_trial_of_a_lost_worker_goes_to_another(oracle, clock):
    lost, kept = oracle.create_trial("a"), oracle.create_trial("b")
    clock.now = 50
    oracle.get_trial(kept.trial_id)  # b shows that it is alive
    clock.now = 100
    oracle.give_up_lost_workers()
    assert oracle.tuner_ids == {"b"}
    end(oracle, kept)
    again = oracle.create_trial("b")
    assert again.trial_id == lost.trial_id
    assert again.hyperparameters.values == lost.hyperparameters.values
    end(oracle, again, score=0.7)
    end(oracle, lost, status="FAILED")  # was alive after all: too late to count
    assert oracle.get_trial(lost.trial_id).status == "COMPLETED"
    assert oracle.end_order == [kept.trial_id, lost.trial_id]


def test_a_worker_that_was_only_slow_may_still_report(oracle, clock):
    slow = oracle.create_trial("a")
    clock.now = 100
    oracle.give_up_lost_workers()
    end(oracle, slow, score=0.6)
    assert oracle.get_trial(slow.trial_id).score == 0.6
    assert oracle.create_trial("a").trial_id != slow.trial_id


def test_a_lost_worker_without_a_trial_does_not_keep_the_chief(oracle, clock):
    for _ in range(3):
        end(oracle, oracle.create_trial("a"))
    waiting = oracle.tuner_ids.copy()
    assert waiting == {"a"}
    clock.now = 100
    oracle.give_up_lost_workers()
    assert not oracle.tuner_ids


def test_failures_in_a_row_send_everyone_home_and_leave_no_lock(oracle):
    for name in ("a", "b", "a"):
        end(oracle, oracle.create_trial(name), status="FAILED")
    assert "consecutive failures" in str(oracle.failure)
    statuses = []
    for name in "ab":
        # As the chief does, from another thread than the one that met the failure.
        asking = threading.Thread(
            target=lambda name=name: statuses.append(oracle.create_trial(name).status)
        )
        asking.start()
        asking.join(timeout=10)
    assert statuses == ["STOPPED", "STOPPED"]
    assert not oracle.tuner_ids
    assert oracle.get_best_trials() == []


def test_an_oracle_that_is_killed_while_it_saves_leaves_the_file_before(tmp_path, monkeypatch):
    oracle = oracles.RandomSearchOracle(60.0, objective="val_accuracy", max_trials=2)
    oracle._set_project_dir(tmp_path, "search")
    oracle.save()
    (path,) = (tmp_path / "search").iterdir()
    before = path.read_text()

    def killed(*paths):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            oracle.save()
    assert path.read_text() == before
    assert [each.name for each in path.parent.iterdir()] == ["oracle.json"]
    oracle.reload()
