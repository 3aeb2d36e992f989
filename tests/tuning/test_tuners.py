import keras
import keras_tuner
import numpy as np
import pytest
from keras_tuner.errors import FailedTrialError, FatalValueError

from keras_vsoftmax import heads, tuning

KINDS = {
    "RandomSearch": {"max_trials": 5},
    "BayesianOptimization": {"max_trials": 5, "num_initial_points": 3},
    "Hyperband": {"max_epochs": 3},  # six trials, one of which goes on where another ended
    "GridSearch": {},
}
GRID = {
    "heads": ["softmax", "cosface"],
    "embedding": None,
    "batch_size": 24,
    "learning_rate": 0.05,
    "weight_decay": None,
    "cosface_margin": [0.2, 0.4],
    "cosface_scale": [10.0, 20.0],
}


class Killed(BaseException):
    """What is no `Exception`, as the end of a process is none."""


def make(kind, hypermodel, folder, **settings):
    settings = {**KINDS[kind], **settings}
    return getattr(tuning, kind)(hypermodel, directory=folder, project_name="search", **settings)


def search(tuner, data, **settings):
    settings = {"epochs": 1, "validation_split": 0.5, "verbose": 0, **settings}
    tuner.search(*data, **settings)
    return tuner


def trials(tuner):
    """(hyperparameters, score, status) of every trial, in the order of their numbers."""
    found = sorted(tuner.oracle.trials.items())
    return [(trial.hyperparameters.values, trial.score, trial.status) for _, trial in found]


@pytest.mark.parametrize(
    "kind", [pytest.param("RandomSearch", marks=pytest.mark.core), *list(KINDS)[1:]]
)
def test_each_tuner_searches_and_its_best_model_predicts_from_images(kind, space, data, tmp_path):
    settings = GRID if kind == "GridSearch" else {}
    tuner = search(make(kind, space(seed=2, **settings), tmp_path), data)
    done = trials(tuner)
    assert len(done) >= 4
    for values, score, status in done:
        assert status == "COMPLETED"
        assert 0 <= score <= 1
        head = values["head"]
        knobs = {name for name in values if name.startswith(tuple(f"{n}_" for n in heads.NAMES))}
        assert knobs == {f"{head}_{knob}" for knob in tuning.ranges.KNOBS[head]}
    assert tuner.oracle.objective.name == "val_accuracy"
    best = tuner.get_best_models(2)
    scores = [model.evaluate(data[0][24:], data[1][24:], verbose=0)[1] for model in best]
    expected = sorted((score for _, score, _ in done), reverse=True)[:2]
    np.testing.assert_allclose(scores, expected, atol=1e-6)
    assert best[0].predict(data[0], verbose=0).shape == (48, 3)
    if kind == "GridSearch":
        grid = {(v["cosface_margin"], v["cosface_scale"]) for v, _, _ in done if len(v) > 3}
        assert grid == {(m, s) for m in (0.2, 0.4) for s in (10.0, 20.0)}
        assert len(done) == 5


@pytest.mark.parametrize("kind", ["RandomSearch", "GridSearch"])
def test_same_seed_same_search(kind, space, data, tmp_path):
    hypermodel = space(seed=0, **(GRID if kind == "GridSearch" else {}))

    def run(folder):
        keras.utils.set_random_seed(len(folder))  # what else was drawn does not matter
        return trials(search(make(kind, hypermodel, tmp_path / folder, max_trials=4), data))

    first = run("a")
    assert first == run("another")
    assert len(first) == 4


def test_executions_of_a_trial_differ(space, data, tmp_path):
    seen = []

    class Watch(keras.callbacks.Callback):
        def __deepcopy__(self, memo):
            return Watch()

        def on_train_begin(self, logs=None):
            seen.append(keras.ops.convert_to_numpy(self.model.head.kernel))

    tuner = make("RandomSearch", space(seed=1), tmp_path, max_trials=1, executions_per_trial=2)
    search(tuner, data, callbacks=[Watch()])
    assert len(seen) == 2
    assert not np.array_equal(*seen)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_search_goes_on_where_it_was(kind, space, data, tmp_path):
    class Count(keras.callbacks.Callback):
        """Counts the trainings that end, and kills the process amid the third."""

        finished, kill = [], True

        def __deepcopy__(self, memo):
            return self

        def on_epoch_end(self, epoch, logs=None):
            if self.kill and len(self.finished) == 2:
                raise Killed

        def on_train_end(self, logs=None):
            self.finished.append(1)

    def prepare(folder):
        settings = GRID if kind == "GridSearch" else {}
        return make(kind, space(seed=5, **settings), tmp_path / folder)

    count = Count()
    with pytest.raises(Killed):
        search(prepare("killed"), data, callbacks=[count])
    count.kill = False
    resumed = search(prepare("killed"), data, callbacks=[count])
    straight = search(prepare("straight"), data)
    assert len(count.finished) == len(trials(straight))
    if kind == "BayesianOptimization":  # the state of its random generator is not saved
        assert trials(resumed)[:3] == trials(straight)[:3]
    else:
        assert trials(resumed) == trials(straight)


@pytest.mark.core
def test_failed_trials_are_recorded_and_never_win(space, data, tmp_path):
    def refuse_one(hp):
        if hp["head"] == "cosface" and hp["cosface_margin"] > 0.3:
            raise ValueError("no such combination")
        return keras.Sequential([keras.Input((6,)), keras.layers.Dense(4)])

    class Diverge(keras.callbacks.Callback):
        """Ruins the weights where the scale is large."""

        def on_train_begin(self, logs=None):
            if getattr(self.model.head, "scale", 0) == 20:
                self.model.head.kernel.assign(np.full((4, 3), np.nan))

    hypermodel = space(refuse_one, **GRID)
    tuner = make("GridSearch", hypermodel, tmp_path, max_consecutive_failed_trials=4)
    search(tuner, data, callbacks=[Diverge()])
    status = {
        (values.get("cosface_margin"), values.get("cosface_scale")): (state, score)
        for values, score, state in trials(tuner)
    }
    assert len(status) == 5
    for (margin, scale), (state, score) in status.items():
        failed = margin == 0.4 or scale == 20
        assert state == ("FAILED" if failed else "COMPLETED")
        assert (score is None) == failed
    messages = [trial.message for trial in tuner.oracle.trials.values()]
    assert sum("no such combination" in (message or "") for message in messages) == 2
    assert sum("Training diverged" in (message or "") for message in messages) == 1
    assert len(tuner.get_best_models(5)) == 2
    assert len(tuner.get_best_hyperparameters(5)) == 2
    assert trials(make("GridSearch", hypermodel, tmp_path)) == trials(tuner)  # as it is on disk


def test_failures_in_a_row_end_the_search_and_are_explained(space, data, tmp_path):
    class Diverging(space().__class__):
        def fit(self, *args, **kwargs):
            raise FailedTrialError("it diverged")

    tuner = make("RandomSearch", Diverging(keras.layers.Dense(4), 3), tmp_path)
    with pytest.raises(RuntimeError, match=r"(?s)consecutive failures.*it diverged"):
        search(tuner, data)
    assert [state for _, _, state in trials(tuner)] == ["FAILED"] * 3
    assert tuner.get_best_models() == []
    few = make("RandomSearch", Diverging(keras.layers.Dense(4), 3), tmp_path / "few", max_trials=2)
    with pytest.raises(RuntimeError, match=r"(?s)Not one of the 2 trials.*it diverged"):
        search(few, data)


def test_refused_before_the_first_trial(space, tmp_path):
    with pytest.raises(FatalValueError, match="cannot compare heads"):
        make("RandomSearch", space(), tmp_path, objective="val_loss")
    tuner = make("RandomSearch", space(heads="virtual"), tmp_path, objective="val_loss")
    assert tuner.oracle.objective.direction == "min"
    assert not list(tmp_path.glob("*/trial_*"))


@pytest.mark.core
def test_a_metric_of_the_users_own_is_the_objective(space, data, tmp_path):
    metrics = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(2, name="top2")]
    tuner = make(
        "RandomSearch",
        space(),
        tmp_path,
        objective=keras_tuner.Objective("val_top2", "max"),
        metrics=metrics,
        max_trials=1,
    )
    ((_, score, state),) = trials(search(tuner, data))
    assert state == "COMPLETED"
    assert 0 <= score <= 1


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_a_distribution_strategy(backbone, data, tmp_path):
    import tensorflow as tf

    # One device in this process, with reductions that leave other strategies of it alone.
    strategy = tf.distribute.MirroredStrategy(
        ["CPU:0"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    hypermodel = tuning.HeadHyperModel(backbone, 3, heads="arcface", embedding=None, batch_size=24)
    tuner = make("RandomSearch", hypermodel, tmp_path, max_trials=1, distribution_strategy=strategy)
    ((_, score, state),) = trials(search(tuner, data))
    assert state == "COMPLETED"
    model = tuner.get_best_models()[0]
    assert model.distribute_strategy is strategy
    assert model.evaluate(data[0][24:], data[1][24:], verbose=0)[1] == pytest.approx(score)
