"""Each gap of Keras Tuner is still there, and what is relied upon in its place still does it."""

import pytest

keras_tuner = pytest.importorskip("keras_tuner")

from keras_vsoftmax.tuning import keras_tuner_gaps as gaps  # noqa: E402

Oracle = keras_tuner.oracles.RandomSearchOracle


def oracle(cls=Oracle, folder=None, **settings):
    hp = keras_tuner.HyperParameters()
    hp.Choice("a", [1, 2, 3])
    made = cls(objective=keras_tuner.Objective("score", "max"), hyperparameters=hp, **settings)
    made._set_project_dir(str(folder), "project")
    return made


def finish(made, trial, status="COMPLETED"):
    if status == "COMPLETED":
        made.update_trial(trial.trial_id, {"score": 1.0})
    trial.status = status
    made.end_trial(trial)


def test_is_worker(monkeypatch):
    class Tuner:
        def _is_worker(self):
            return True

    assert gaps.is_worker(Tuner())
    assert hasattr(keras_tuner.Tuner, "_is_worker")
    assert not hasattr(keras_tuner.Tuner, "is_worker")  # the gap


def test_stopped_trial(tmp_path):
    made = oracle(folder=tmp_path, max_trials=3)
    assert gaps.stopped_trial(made).status == "STOPPED"
    assert made.trials == {}


def test_hand_on_and_take_back(tmp_path):
    made = oracle(folder=tmp_path, max_trials=5)
    first = made.create_trial("worker")
    made.ongoing_trials.clear()
    assert not gaps.take_back(made, first.trial_id)
    gaps.hand_on(made, first.trial_id)
    assert gaps.take_back(made, first.trial_id)
    gaps.hand_on(made, first.trial_id)
    assert made.create_trial("another").trial_id == first.trial_id


@pytest.mark.parametrize("told", [True, False])
def test_all_is_declared(told):
    hp = keras_tuner.HyperParameters()
    head = hp.Choice("head", ["a", "b"])

    def declare():
        for name in "ab":
            with hp.conditional_scope("head", [name]):
                hp.Float(f"{name}_margin", 0.1, 0.5)

    if told:
        with gaps.all_is_declared(hp):
            declare()
    else:
        declare()  # the gap: a scope was inactive, for which a model would be built
    assert bool(hp.inactive_scopes) != told
    assert head == "a"
    assert "b_margin" in hp._hps


class Kept(gaps.KeepsFailure, Oracle):
    pass


def test_keeps_failure(tmp_path):
    for cls in (Oracle, Kept):
        made = oracle(cls, tmp_path / cls.__name__, max_trials=5, max_consecutive_failed_trials=1)
        trial = made.create_trial("worker")
        if cls is Oracle:
            with pytest.raises(RuntimeError, match="consecutive failures"):
                finish(made, trial, "FAILED")
        else:
            finish(made, trial, "FAILED")
            assert "consecutive failures" in str(made.failure)


class Grid(gaps.ResumableGrid, keras_tuner.oracles.GridSearchOracle):
    pass


def test_resumable_grid(tmp_path):
    for cls in (keras_tuner.oracles.GridSearchOracle, Grid):
        made = oracle(cls, tmp_path / cls.__name__)
        for _ in range(2):
            finish(made, made.create_trial("worker"))
        made.save()
        again = oracle(cls, tmp_path / cls.__name__)
        again.reload()
        if cls is Grid:
            values = []
            for _ in range(2):
                trial = again.create_trial("worker")
                values.append(trial.hyperparameters.values.get("a"))
                if trial.status != "STOPPED":
                    finish(again, trial)
            assert values[0] == 3
            assert trial.status == "STOPPED"
        else:
            # The gap: it forgets what is left of the grid.
            assert again.create_trial("worker").hyperparameters.values.get("a") != 3


def test_oracle_path(tmp_path, monkeypatch):
    made = oracle(folder=tmp_path, max_trials=3)
    written = []
    monkeypatch.setattr("keras_tuner.src.utils.save_json", lambda path, state: written.append(path))
    made.save()
    assert written == [gaps.oracle_path(made)]  # the gap: in place, and not renamed
