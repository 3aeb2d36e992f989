"""The example that starts two workers: both end with the same figures and the same weights."""

import os
import re
import subprocess
import sys

import keras
import pytest

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
