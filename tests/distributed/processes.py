"""The jobs of these tests: processes of their own, bounded in time and reaped whatever happens."""

import contextlib
import faulthandler
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time
import traceback

ROOT = pathlib.Path(__file__).parents[2]


@contextlib.contextmanager
def running(module, folder, environments, limit):
    """Runs `python -m module RESULT LIMIT`, once for each environment, side by side.

    Yields the processes, each with `.result` and `.log`, the paths of what it wrote. At the end
    they are killed, if they still run. A process ends itself after `limit` seconds, and where
    its parent is gone.
    """
    processes = []
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [_reap(process) for process in processes])
        for number, environment in enumerate(environments):
            result = folder / f"{number}.json"
            log = folder / f"{number}.log"
            process = subprocess.Popen(
                [sys.executable, "-m", module, str(result), str(limit)],
                cwd=ROOT,
                env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **environment},
                stdout=stack.enter_context(log.open("w")),
                stderr=subprocess.STDOUT,
            )
            process.result, process.log = result, log
            processes.append(process)
        yield processes


def results(processes, limit):
    """What each process reported, once it has ended by itself and well."""
    for process in processes:
        code = process.wait(timeout=limit)
        assert code == 0, f"exit code {code}:\n{process.log.read_text()[-4000:]}"
    return [json.loads(process.result.read_text()) for process in processes]


def main(make_cases):
    """What a job does: runs its cases, {name: function}, and writes what they return.

    A case that raises reports its traceback as {"error": ...}, so that one does not hide others.
    """
    path, limit = sys.argv[1:]
    faulthandler.dump_traceback_later(float(limit), exit=True)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    found = {}
    for name, case in make_cases().items():
        try:
            found[name] = case()
        except Exception as error:
            found[name] = {"error": str(error), "traceback": traceback.format_exc()}
        pathlib.Path(path).write_text(json.dumps(found))


def _end_with_parent(parent):
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def cluster(workers):
    """TF_CONFIG of each worker of a cluster on free ports of this machine."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(workers)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    return [
        {
            "TF_CONFIG": json.dumps(
                {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            )
        }
        for index in range(workers)
    ]


def _reap(process):
    process.kill()
    process.wait()
