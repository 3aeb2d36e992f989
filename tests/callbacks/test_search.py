"""A search by retrieval among unseen classes: killed, resumed, and the best model kept."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import keras
import pytest

from keras_vsoftmax import retrieval

pytest.importorskip("keras_tuner")

from tests.callbacks import search_job

ROOT = pathlib.Path(__file__).parents[2]


def _trials(tuner):
    found = sorted(tuner.oracle.trials.items())
    return [
        (trial.hyperparameters.values, trial.score, trial.best_step, trial.status)
        for _, trial in found
    ]


@pytest.mark.slow
def test_killed_and_resumed_it_ends_as_if_it_had_not_stopped(tmp_path):
    killed, straight = tmp_path / "killed", tmp_path / "straight"
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.callbacks.search_job", killed],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 300
        while len(list(killed.rglob("trial.json"))) < 2:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert '"COMPLETED"' in (killed / "search" / "trial_0" / "trial.json").read_text()

    keras.utils.set_random_seed(1)
    resumed = search_job.search(killed)
    keras.utils.set_random_seed(1)
    assert _trials(resumed) == _trials(search_job.search(straight))
    done = _trials(resumed)
    assert [status for *_, status in done] == ["COMPLETED"] * 4
    assert resumed.oracle.objective.direction == "max"
    # What was kept is the epoch that retrieves best.
    _, unseen = search_job.data()
    best = max(score for _, score, _, _ in done)
    assert len({score for _, score, _, _ in done}) > 1
    found = retrieval.evaluate(resumed.get_best_models()[0], *unseen)
    assert found.recall_at[1] == pytest.approx(best)
