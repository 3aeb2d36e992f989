"""Keras Tuner's tuners for `HeadHyperModel`."""

import contextlib
import inspect
import os
import threading
import time

import keras

from keras_vsoftmax.callbacks.directions import direction
from keras_vsoftmax.tuning import keras_tuner_gaps, oracles
from keras_vsoftmax.utils.extras import require

keras_tuner = require("keras_tuner", extra="tuner", feature="keras_vsoftmax.tuning")

# In seconds: how often a worker shows that it is alive, how often the chief looks for lost
# ones, and how long a worker waits that was told that there is no trial for it yet.
_BEAT = 5.0
_WATCH = 1.0
_PAUSE = 1.0


class _HeadTuner:
    """What the tuners below add to those of the same name in Keras Tuner."""

    _oracle_class = None

    def __init__(self, hypermodel, objective="val_accuracy", *, worker_timeout=60.0, **kwargs):
        if keras.backend.backend() == "tensorflow":
            require("tensorboard", extra="tuner", feature="Keras Tuner on TensorFlow")
        hypermodel.check_objective(objective)
        objective = _directed(objective)
        if hypermodel.seed is not None:
            # Keras Tuner takes 0 for no seed.
            kwargs.setdefault("seed", hypermodel.seed + 1)
        parameters = inspect.signature(keras_tuner.Tuner).parameters
        of_tuner = {name: kwargs.pop(name) for name in parameters if name in kwargs}
        oracle = self._oracle_class(objective=objective, worker_timeout=worker_timeout, **kwargs)
        self._waiting = False
        # Not the constructor of the class beside this one, which makes an oracle of its own.
        keras_tuner.Tuner.__init__(self, oracle, hypermodel, **of_tuner)

    @property
    def is_worker(self):
        """Whether this process trains for a chief, which alone knows the results."""
        return keras_tuner_gaps.is_worker(self)

    def search(self, *args, **kwargs):
        if self.is_worker:
            super().search(*args, **kwargs)
            return
        is_chief = "KERASTUNER_ORACLE_IP" in os.environ
        with _every(_WATCH, self.oracle.give_up_lost_workers, when=is_chief):
            super().search(*args, **kwargs)
        if self.oracle.failure is not None:
            raise self.oracle.failure
        trials = self.oracle.trials.values()
        if trials and all(trial.status == oracles.FAILED for trial in trials):
            raise RuntimeError(
                f"Not one of the {len(trials)} trials of the search was completed. The last one "
                f"failed with: {list(trials)[-1].message}"
            )

    def run_trial(self, trial, *args, **kwargs):
        self.hypermodel.begin_trial()
        with _every(_BEAT, self._show_life, trial.trial_id, when=self.is_worker):
            return super().run_trial(trial, *args, **kwargs)

    def _show_life(self, trial_id):
        grpc = require("grpc", extra="tuner", feature="A distributed search")
        with contextlib.suppress(grpc.RpcError):  # without a chief the training itself will end
            self.oracle.get_trial(trial_id)

    def pre_create_trial(self):
        if self._waiting:
            time.sleep(_PAUSE)
        self._waiting = True

    def on_trial_begin(self, trial):
        self._waiting = False
        super().on_trial_begin(trial)


class RandomSearch(_HeadTuner, keras_tuner.RandomSearch):
    """`keras_tuner.RandomSearch` over a `HeadHyperModel`.

    The objective is `val_accuracy` by default, and a loss across several heads is refused. The
    seed of the hypermodel is that of the search, too. Failed trials are never among the best.
    A search that was killed goes on where it was when it is run again with the same `directory`
    and `project_name`; a distributed one also goes on when a worker is lost.

    Args:
        hypermodel: A `HeadHyperModel`.
        objective: Name of a metric, or whatever else Keras Tuner takes. Of the figures of
            `keras_vsoftmax.callbacks` the name is enough, as `"val_recall_at_1"`.
        worker_timeout: Seconds after which the chief of a distributed search gives a worker up
            that it does not hear of, and its trial to another one.
        **kwargs: As for `keras_tuner.RandomSearch`: `max_trials`, `directory`, `project_name`,
            `executions_per_trial`, `distribution_strategy` and so on.

    Raises:
        keras_tuner.errors.FatalValueError: For a loss as the objective across several heads.
        RuntimeError: By `search`, where every trial failed.
    """

    _oracle_class = oracles.RandomSearchOracle


class Hyperband(_HeadTuner, keras_tuner.Hyperband):
    """`keras_tuner.Hyperband` over a `HeadHyperModel`; see `RandomSearch`."""

    _oracle_class = oracles.HyperbandOracle


class BayesianOptimization(_HeadTuner, keras_tuner.BayesianOptimization):
    """`keras_tuner.BayesianOptimization` over a `HeadHyperModel`; see `RandomSearch`."""

    _oracle_class = oracles.BayesianOptimizationOracle


class GridSearch(_HeadTuner, keras_tuner.GridSearch):
    """`keras_tuner.GridSearch` over a `HeadHyperModel`; see `RandomSearch`.

    Lists are gone through whole; of a range (low, high) Keras Tuner takes ten values.
    """

    _oracle_class = oracles.GridSearchOracle


def _directed(objective):
    """The objective with its direction, where it is a figure of this package's callbacks."""
    if isinstance(objective, (list, tuple)):
        return [_directed(each) for each in objective]
    found = direction(objective) if isinstance(objective, str) else None
    return keras_tuner.Objective(objective, found) if found else objective


@contextlib.contextmanager
def _every(seconds, action, *args, when):
    """Calls `action(*args)` in a thread, again and again, while the block runs."""
    done = threading.Event()

    def repeat():
        while not done.wait(seconds):
            action(*args)

    if when:
        threading.Thread(target=repeat, daemon=True).start()
    try:
        yield
    finally:
        done.set()
