"""Cost of one training step of a head in this checkout, as a ratio to the one in another.

Two processes, one a checkout, take turns: each pair is a sample here and a sample there, in
random order, so that what else the machine does falls on both sides. Processes of one and the
same code differ by a few percent, for as long as they live, so that they are started anew several
times. The ratio is the median over the pairs, with the 95% interval of a bootstrap over processes,
and over the pairs of each. TensorFlow, graph and jit.

    git worktree add ../before COMMIT
    python benchmarks/against_commit.py ../before
    python benchmarks/against_commit.py ../before --heads virtual --modes graph --processes 10
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHAPES = ["256,128,100", "256,512,1000", "256,512,10575"]


class Side:
    """A process that makes steps with the package of one checkout."""

    def __init__(self, checkout):
        environment = {**os.environ, "PYTHONPATH": str(checkout), "TF_CPP_MIN_LOG_LEVEL": "3"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.package = self.ask({})

    def ask(self, request):
        print(json.dumps(request), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"The process ended. Received: {request}")
        return json.loads(line)

    def close(self):
        self._process.stdin.close()
        self._process.wait()


def serve():
    """Answers requests: where the package is, a new step, or the seconds of some steps."""
    import head_step

    import keras_vsoftmax

    step = None
    for line in sys.stdin:
        request = json.loads(line)
        if "head" in request:
            step = head_step.make_step(request["head"], request["shape"], request["jit"])
            head_step.sample(step, 3)
            answer = None
        elif "steps" in request:
            answer = head_step.sample(step, request["steps"])
        else:
            answer = str(pathlib.Path(keras_vsoftmax.__file__).parent)
        print(json.dumps(answer), flush=True)


def measure(sides, request, pairs, seconds, rng):
    """Ratios here / there of a step's seconds, one a pair."""
    for side in sides:
        side.ask(request)
    steps = max(1, round(seconds / sides[1].ask({"steps": 3})))
    ratios = []
    for here_first in rng.permutation([True, False] * pairs)[:pairs]:
        order = sides if here_first else sides[::-1]
        found = {side: side.ask({"steps": steps}) for side in order}
        ratios.append(found[sides[0]] / found[sides[1]])
    return ratios


def interval(ratios):
    """The median of ratios (processes, pairs), and the 95% interval of a nested bootstrap."""
    import numpy as np

    rng = np.random.default_rng(1)
    processes, pairs = np.shape(ratios)
    draws = 10_000
    chosen = rng.integers(0, processes, (draws, processes, 1))
    within = rng.integers(0, pairs, (draws, processes, pairs))
    drawn = np.asarray(ratios)[chosen, within].reshape(draws, -1)
    low, high = np.quantile(np.median(drawn, axis=1), [0.025, 0.975])
    return np.median(ratios), low, high


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkout", type=pathlib.Path, help="folder of the other checkout")
    parser.add_argument("--heads", nargs="+", help="heads (default: all that both have)")
    parser.add_argument("--shapes", nargs="+", default=SHAPES, help="batch,d,classes")
    parser.add_argument("--modes", nargs="+", default=["graph", "jit"], choices=["graph", "jit"])
    parser.add_argument(
        "--processes", type=int, default=5, help="processes a checkout, one by one (default 5)"
    )
    parser.add_argument("--pairs", type=int, default=6, help="pairs of samples in each (default 6)")
    parser.add_argument("--seconds", type=float, default=0.1, help="of one sample (default 0.1)")
    args = parser.parse_args()

    import numpy as np

    rng = np.random.default_rng(0)
    there = names(args.checkout)
    heads = args.heads or [head for head in names(ROOT) if head in there]
    cases = [(head, shape, mode) for head in heads for shape in args.shapes for mode in args.modes]
    ratios = {case: [] for case in cases}
    for number in range(args.processes):
        sides = [Side(ROOT), Side(args.checkout.resolve())]
        if sides[0].package == sides[1].package:
            parser.error(f"both sides are one package. Received: {args.checkout}")
        for head, shape, mode in cases:
            size = [int(part) for part in shape.split(",")]
            request = {"head": head, "shape": size, "jit": mode == "jit"}
            found = measure(sides, request, args.pairs, args.seconds, rng)
            ratios[head, shape, mode].append(found)
            print(f"process {number + 1}: {head} {shape} {mode} {np.median(found):.3f}", flush=True)
        for side in sides:
            side.close()
    print(f"{'head':<20}{'(batch, d, C)':<18}{'mode':<7}ratio here / there, 95% interval")
    for (head, shape, mode), found in ratios.items():
        middle, low, high = interval(found)
        slower = "" if low < 1.02 else "  slower"
        print(f"{head:<20}{shape:<18}{mode:<7}{middle:.3f}  [{low:.3f}, {high:.3f}]{slower}")


def names(checkout):
    """The heads of a checkout, from its package."""
    code = "from keras_vsoftmax import heads; print(*heads.NAMES)"
    environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
    # In its folder, which Python looks in first.
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=checkout,
        env=environment,
        stdout=subprocess.PIPE,
        check=True,
    )
    return found.stdout.decode().split()


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
