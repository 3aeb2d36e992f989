"""What Keras Tuner's oracles lack for searches that survive the loss of a process."""

import json
import time

from keras_vsoftmax.tuning import keras_tuner_gaps
from keras_vsoftmax.utils.extras import require
from keras_vsoftmax.utils.files import atomic_path

keras_tuner = require("keras_tuner", extra="tuner", feature="keras_vsoftmax.tuning")

RUNNING, IDLE, STOPPED = "RUNNING", "IDLE", "STOPPED"
COMPLETED, FAILED = "COMPLETED", "FAILED"


class PersistentOracle(keras_tuner_gaps.KeepsFailure):
    """Mixin for an oracle whose trials are each done once, whatever happens to a worker.

    - A trial that failed is never among the best ones, even where fewer were completed than
      asked for.
    - With workers in processes of their own, the chief hears from them by `get_trial`, which
      they call while they train. A worker that was not heard of for `worker_timeout` seconds
      is given up, and its trial goes to another one.
    - No worker is sent home while another still has a trial that it may leave behind.
    - Too many failures in a row end the search on every process: the error is kept in
      `failure` for the chief to raise. Raised in the thread that answers the workers, it would
      leave the oracle locked, and the chief waiting for ever.
    - Its file is whole, or the one before: Keras Tuner writes it in place, and cannot go on from
      the half that a process leaves which is killed meanwhile.
    """

    def __init__(self, worker_timeout, **kwargs):
        super().__init__(**kwargs)
        self.worker_timeout = worker_timeout
        self._last_seen = {}

    @keras_tuner.synchronized
    def create_trial(self, tuner_id):
        self._last_seen[tuner_id] = time.monotonic()
        if self.failure is not None:
            self.tuner_ids.discard(tuner_id)
            return keras_tuner_gaps.stopped_trial(self)
        trial = super().create_trial(tuner_id)
        if trial.status == STOPPED and self.ongoing_trials:
            self.tuner_ids.add(tuner_id)
            trial.status = IDLE
        return trial

    def get_trial(self, trial_id):
        for tuner_id, trial in list(self.ongoing_trials.items()):
            if trial.trial_id == trial_id:
                self._last_seen[tuner_id] = time.monotonic()
        return super().get_trial(trial_id)

    @keras_tuner.synchronized
    def end_trial(self, trial):
        trial_id = trial.trial_id
        if keras_tuner_gaps.take_back(self, trial_id):
            pass  # given up too early, and not yet handed on
        elif all(ongoing.trial_id != trial_id for ongoing in self.ongoing_trials.values()):
            return  # given up, and done by another worker in the meantime
        super().end_trial(trial)

    @keras_tuner.synchronized
    def give_up_lost_workers(self):
        """Queues the trials of workers that were not heard of for `worker_timeout` seconds."""
        now = time.monotonic()
        for tuner_id in list(self.tuner_ids):
            if now - self._last_seen[tuner_id] > self.worker_timeout:
                self.tuner_ids.discard(tuner_id)
                trial = self.ongoing_trials.pop(tuner_id, None)
                if trial is not None:
                    keras_tuner_gaps.hand_on(self, trial.trial_id)
                    self.save()

    def save(self):
        path = keras_tuner_gaps.oracle_path(self)
        if "://" in path:  # of a store, which has no rename
            super().save()
            return
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(self.get_state()))

    def get_best_trials(self, num_trials=1):
        best = super().get_best_trials(num_trials)
        return [trial for trial in best if trial.status == COMPLETED]


class RandomSearchOracle(PersistentOracle, keras_tuner.oracles.RandomSearchOracle):
    pass


class BayesianOptimizationOracle(PersistentOracle, keras_tuner.oracles.BayesianOptimizationOracle):
    pass


class HyperbandOracle(PersistentOracle, keras_tuner.oracles.HyperbandOracle):
    pass


class GridSearchOracle(
    PersistentOracle, keras_tuner_gaps.ResumableGrid, keras_tuner.oracles.GridSearchOracle
):
    """A grid search that knows where it was when it is resumed."""
