"""Time and peak memory of the figures of retrieval, leave-one-out over one large set.

Samples lie around a centre for each class, so far apart that the figures are neither 0 nor 1.
Every measurement is a process of its own. Memory is the peak of the resident set, less what was
held once the backend was loaded: the embeddings are in it.

    python benchmarks/retrieval.py
    KERAS_BACKEND=torch python benchmarks/retrieval.py --classes 1000
"""

import argparse
import os
import pathlib
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = pathlib.Path(__file__).resolve().parent.parent


def resident(field):
    """A field of /proc/self/status, in GB: VmRSS is what is held now, VmHWM the peak."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1e6
    raise RuntimeError(f"no {field} in /proc/self/status: this needs Linux")


def measure(samples, dim, classes):
    import keras
    import numpy as np

    from keras_vsoftmax.retrieval import retrieval_metrics

    rng = np.random.default_rng(0)
    # The backend's threads and libraries are there before anything is counted.
    retrieval_metrics(rng.normal(size=(64, dim)), np.arange(64) // 4)
    before = resident("VmRSS")
    labels = rng.permutation(np.arange(samples) % classes)
    embeddings = rng.normal(size=(samples, dim)).astype("float32")
    embeddings += 0.5 * rng.normal(size=(classes, dim)).astype("float32")[labels]
    start, processor = time.perf_counter(), time.process_time()
    result = retrieval_metrics(embeddings, labels)
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    print(
        f"{keras.backend.backend()}, {os.cpu_count()} cores: {samples:,} x {samples:,}, d = {dim}, "
        f"{classes:,} classes of {samples // classes:,}: {seconds:.1f} s "
        f"({processor:.1f} s of the cores' time), {resident('VmHWM') - before:.2f} GB\n{result}\n",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--classes", type=int, nargs="+", default=[1000, 10])
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.in_process:
        measure(args.samples, args.dim, *args.classes)
        return
    for classes in args.classes:
        command = [sys.executable, __file__, "--in-process", "--classes", str(classes)]
        command += ["--samples", str(args.samples), "--dim", str(args.dim)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        subprocess.run(command, check=True, env=environment)


if __name__ == "__main__":
    main()
