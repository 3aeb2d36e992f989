"""A chief and two workers, in processes of their own on this machine."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

SCRIPT = pathlib.Path(__file__).with_name("search_process.py")
ROOT = SCRIPT.parents[2]
LIMIT = 300  # seconds for everything; a run takes a tenth of it


class Processes:
    """The processes of one search, and what became of them."""

    def __init__(self, folder, kind, worker_timeout):
        self.folder = folder
        self._arguments = [str(folder), kind, str(worker_timeout)]
        self._deadline = time.monotonic() + LIMIT
        self._all = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]

    def start(self, name):
        environment = {
            **os.environ,
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": str(self._port),
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
        }
        log = self.folder / f"{name}-{len(self._all)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, str(SCRIPT), *self._arguments],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process.log = log
        self._all.append(process)
        return process

    def finish(self, process):
        """Waits for the end of a process that must be a good one, and gives its last line."""
        process.wait(max(self._deadline - time.monotonic(), 0.1))
        text = process.log.read_text()
        assert process.returncode == 0, text
        return text.splitlines()[-1] if text else ""

    def wait_for(self, pattern, count=1):
        while len(found := sorted(self.folder.glob(pattern))) < count:
            assert time.monotonic() < self._deadline, f"no {pattern}"
            for process in self._all:
                assert process.poll() in (None, 0, -signal.SIGKILL), process.log.read_text()
            time.sleep(0.1)
        return found

    def reap(self):
        for process in self._all:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def launch(tmp_path):
    started = []

    def make(kind, worker_timeout):
        started.append(Processes(tmp_path, kind, worker_timeout))
        return started[-1]

    yield make
    for processes in started:
        processes.reap()


def check(line, count):
    result = json.loads(line)
    assert [trial["status"] for trial in result["trials"]] == ["COMPLETED"] * count
    values = [json.dumps(trial["values"], sort_keys=True) for trial in result["trials"]]
    assert len(set(values)) == count
    assert result["shape"] == [48, 3]


@pytest.mark.parametrize("kind", ["RandomSearch", "GridSearch"])
def test_chief_and_two_workers_do_every_trial_once(launch, kind):
    processes = launch(kind, worker_timeout=60)
    names = ["chief", "worker-0", "worker-1"]
    running = [processes.start(name) for name in names]
    lines = [processes.finish(process) for process in running]
    check(lines[0], 6)
    assert len(list(processes.folder.glob("begun-*"))) == 6
    assert len(list(processes.folder.glob("ended-*"))) == 6


def test_the_trial_of_a_killed_worker_is_done_by_another(launch):
    processes = launch("RandomSearch", worker_timeout=15)
    hang = processes.folder / "hang-worker-0"
    hang.touch()
    chief, lost = processes.start("chief"), processes.start("worker-0")
    processes.wait_for("begun-worker-0-*")
    os.killpg(lost.pid, signal.SIGKILL)
    other = processes.start("worker-1")
    processes.finish(other)
    check(processes.finish(chief), 6)
    assert len(list(processes.folder.glob("ended-worker-1-*"))) == 6


def test_a_killed_worker_that_is_started_again_takes_its_trial_up(launch):
    processes = launch("RandomSearch", worker_timeout=200)
    hang = processes.folder / "hang-worker-0"
    hang.touch()
    chief, lost = processes.start("chief"), processes.start("worker-0")
    processes.wait_for("begun-worker-0-*")
    os.killpg(lost.pid, signal.SIGKILL)
    hang.unlink()
    again = processes.start("worker-0")
    processes.finish(again)
    check(processes.finish(chief), 6)
    assert len(list(processes.folder.glob("ended-worker-0-*"))) == 6
