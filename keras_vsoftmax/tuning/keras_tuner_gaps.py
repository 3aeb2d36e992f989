"""The one door to what Keras Tuner keeps private or lacks, an entry a gap.

All are of Keras Tuner 1.4.8. Tests in tests/tuning/test_keras_tuner_gaps.py fail when a name goes,
or when Keras Tuner closes the gap.
"""

import contextlib
import functools

from keras_vsoftmax.utils.extras import require

keras_tuner = require("keras_tuner", extra="tuner", feature="keras_vsoftmax.tuning")


def is_worker(tuner):
    """Whether the process of this tuner trains for a chief. There is no public name for it."""
    return tuner._is_worker()


def stopped_trial(oracle):
    """A trial that tells a worker that the search is over, as an oracle's `create_trial` gives.

    Trials are documented, how to make one is not: relied upon is its constructor's `status`.
    """
    return keras_tuner.engine.trial.Trial(oracle.get_space(), status="STOPPED")


def oracle_path(oracle):
    """The file of an oracle, which `save` writes. There is no public name for it."""
    return oracle._get_oracle_fname()


def hand_on(oracle, trial_id):
    """Let the next worker that asks for a trial do this one.

    Without it the trial of a lost worker is never done: there is no public way to queue it.
    """
    oracle._retry_queue.append(trial_id)


def take_back(oracle, trial_id):
    """Undo `hand_on`, and return whether the trial was still there."""
    if trial_id in oracle._retry_queue:
        oracle._retry_queue.remove(trial_id)
        return True
    return False


@contextlib.contextmanager
def all_is_declared(hp):
    """A context in which all hyperparameters are declared, whichever scopes are active.

    Keras Tuner builds a model for each scope that was inactive, to discover what it declares, and
    cannot be told that nothing is left to discover. Relied upon: the undocumented list
    `HyperParameters.inactive_scopes`.
    """
    count = len(hp.inactive_scopes)
    yield
    del hp.inactive_scopes[count:]


class KeepsFailure:
    """Mixin for an oracle that keeps the error of too many failures in `failure`.

    Keras Tuner raises it in the thread that answers the workers, where it leaves the oracle locked
    and the chief waiting for ever. Relied upon: `Oracle._check_consecutive_failures` raises it, and
    nothing else does.
    """

    failure = None

    def _check_consecutive_failures(self):
        try:
            super()._check_consecutive_failures()
        except RuntimeError as error:
            self.failure = error


class ResumableGrid:
    """Mixin for a `GridSearchOracle` that knows where it was when it is resumed.

    Keras Tuner does not save which trial comes after which: resumed, its grid search stops with a
    KeyError, or with the rest of the grid untried. Relied upon: `_compare`, `_populate_next` and
    `_ordered_ids` of its oracle.
    """

    def set_state(self, state):
        super().set_state(state)
        # In the order of the grid. That every trial waits for its successor to be looked up
        # is harmless: successors that were tried are skipped.
        values = {trial_id: trial.hyperparameters.values for trial_id, trial in self.trials.items()}
        order = functools.cmp_to_key(lambda a, b: self._compare(values[a], values[b]))
        self._populate_next = sorted(values, key=order)
        for trial_id in self._populate_next:
            self._ordered_ids.insert(trial_id)
