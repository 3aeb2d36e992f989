"""Two workers, as a user starts them: the example that does so, and a benchmark script."""

import contextlib
import os
import re
import subprocess
import sys

import keras
import pytest

from keras_vsoftmax.experiments.training import records
from tests.distributed import processes

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute"),
]
EXAMPLE = processes.ROOT / "examples" / "two_workers.py"


def test_both_workers_end_alike():
    # The example ends its workers before its own time is over here.
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "--epochs", "2", "--time-limit", "500"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    ends = dict(re.findall(r"worker (\d): (.*)", done.stdout))
    assert set(ends) == {"0", "1"}
    assert ends["0"] == ends["1"]
    assert "2000 rows predicted" in ends["0"]
    assert float(re.search(r"accuracy ([0-9.]+)", ends["0"]).group(1)) > 0.9


def test_a_benchmark_script_on_two_workers(tmp_path):
    """The first worker writes records and figure; the other one ends well beside it."""
    command = [sys.executable, str(processes.ROOT / "examples" / "convergence.py"), "--quick"]
    command += ["--synthetic", "--backbone", "plain_2d", "--width", "0.1", "--epochs", "1"]
    command += ["--strategy", "multiworker", "--out", str(tmp_path)]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path)}
    with contextlib.ExitStack() as stack:
        workers = []
        for number, environment in enumerate(processes.cluster(2)):
            log = stack.enter_context((tmp_path / f"{number}.log").open("w"))
            worker = subprocess.Popen(
                command, env={**os.environ, **paths, **environment}, stdout=log, stderr=log
            )
            stack.callback(worker.wait)
            stack.callback(worker.kill)
            workers.append(worker)
        codes = [worker.wait(timeout=500) for worker in workers]
    logs = [(tmp_path / f"{number}.log").read_text() for number in range(2)]
    assert codes == [0, 0], [log[-3000:] for log in logs]
    assert "| Virtual Softmax |" in logs[0]
    assert "| Virtual Softmax |" not in logs[1]
    assert (tmp_path / "convergence-synthetic.png").exists()
    assert [record["head"] for record in records.find([tmp_path])] == ["softmax", "virtual"]
