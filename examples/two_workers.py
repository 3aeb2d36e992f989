"""Two workers on one machine: what a job on two hosts does, tried without them.

    python examples/two_workers.py

Starts two processes that train one model together, each on its half of every batch, through
`tf.distribute.MultiWorkerMirroredStrategy` on loopback. The data are made up. At the end both
print the same figures, and the checksum of the same weights. On two hosts, start the script
of your training on each, with TF_CONFIG set as `configs` makes it here: see docs/scaling.md.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time

import keras
import numpy as np

import keras_vsoftmax
from keras_vsoftmax.distributed import strategies
from keras_vsoftmax.distributed.backup import Backup

CLASSES = 10


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--backup-dir", help="where to go on from, if the job was stopped")
    parser.add_argument("--time-limit", type=float, default=600, help="in seconds")
    args = parser.parse_args()
    if "TF_CONFIG" in os.environ:
        train(args)
        return
    sys.exit(launch(args))


def train(args):
    strategy = strategies.get("multiworker")
    keras.utils.set_random_seed(0)  # the same start and the same order on every worker
    rng = np.random.default_rng(0)
    y = rng.integers(0, CLASSES, 2000)
    x = rng.normal(size=(CLASSES, 32))[y] + rng.normal(size=(2000, 32))
    with strategies.scope(strategy):
        backbone = keras.Sequential([keras.Input((32,)), keras.layers.Dense(16, "relu")])
        model = keras_vsoftmax.Classifier(backbone, keras_vsoftmax.VirtualSoftmax(CLASSES))
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), metrics=["accuracy"])
    chief = strategies.is_chief(strategy)
    backups = [Backup(args.backup_dir, strategy)] if args.backup_dir else []
    model.fit(x, y, batch_size=64, epochs=args.epochs, verbose=2 if chief else 0, callbacks=backups)
    loss, accuracy = model.evaluate(x, y, batch_size=64, verbose=0)
    weights = sum(float(np.abs(weight).sum()) for weight in model.get_weights())
    print(
        f"worker {strategy.cluster_resolver.task_id}: loss {loss:.6f}, accuracy {accuracy:.4f}, "
        f"weights {weights:.6f}, {len(model.predict(x, verbose=0))} rows predicted",
        flush=True,
    )


def launch(args):
    """Starts the workers, ends them all when one fails or the time is over; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--epochs", str(args.epochs)]
        command += ["--backup-dir", args.backup_dir or os.path.join(folder, "backup")]
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
        workers = [
            subprocess.Popen(command, env={**quiet, "TF_CONFIG": json.dumps(config)})
            for config in configs(2)
        ]
        deadline = time.monotonic() + args.time_limit
        try:
            while time.monotonic() < deadline:
                codes = [worker.poll() for worker in workers]
                if any(codes) or None not in codes:
                    return int(any(codes))
                time.sleep(0.1)
            print(f"two_workers: not done after {args.time_limit:g} s", file=sys.stderr)
            return 1
        finally:
            for worker in workers:
                worker.kill()
                worker.wait()


def configs(workers):
    """TF_CONFIG of each worker, on ports that are free now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(workers)]
    hosts = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return [
        {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
        for index in range(workers)
    ]


if __name__ == "__main__":
    main()
