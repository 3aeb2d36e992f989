"""Time and peak memory of a training step with very many classes.

A step is the forward pass, the loss, the gradients of features and kernel, and the SGD update;
TensorFlow, graph mode; Dense without bias and with sparse cross-entropy. Each measurement is a
fresh process. The rounds are interleaved over the variants, and a time is the median over
rounds, so that what else the machine does falls on all of them.

Memory is the peak of the resident set during the steps, less what the process held before the
layer was made, less kernel and gradient (SGD keeps no state). The kernel is drawn in one operation:
Keras's initialisers pass through two more arrays of its size, which the allocator keeps, and in
which a step would hide.

A variant is `dense`, or the name of a head: alone, with `:blocked`, with the share of the classes
that a step samples (`arcface:0.1`), or both. `dense-3` is Dense with three times the classes: what
a head with three class vectors a class is to be compared with. `products` is no head, but the four
matrix products of a blocked step alone (logits forward, logits again, and the gradients of features
and kernel, where Dense has three), on whole arrays, where they are fastest: what is below it is out
of reach for a head that computes the logits again.

    python benchmarks/large_classes.py
    python benchmarks/large_classes.py --classes 10000 100000 --rounds 5
"""

import argparse
import datetime
import gc
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time
import typing

BATCH, DIM = 512, 256
VARIANTS = (
    "dense",
    "virtual",
    "arcface",
    "virtual:blocked",
    "arcface:blocked",
    "arcface:0.1",
    "arcface:0.3",
    "arcface:0.1:blocked",
    "products",
)
ROOT = pathlib.Path(__file__).resolve().parent.parent


def make_loss(variant, classes, block_size):
    """Returns a layer, and a function of features and labels that gives its loss."""
    import keras
    import tensorflow as tf

    import keras_vsoftmax

    def init(shape, dtype=None):
        return tf.raw_ops.StatelessRandomNormalV2(shape=shape, key=[0], counter=[0, 0], alg=1)

    if variant.startswith("dense"):
        columns = classes * int(variant.removeprefix("dense").removeprefix("-") or 1)
        layer = keras.layers.Dense(columns, use_bias=False, kernel_initializer=init)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        return layer, lambda features, labels: loss(labels, layer(features))
    name, *words = variant.split(":")
    knobs = {"block_size": block_size} if "blocked" in words else {}
    for word in words:
        if word != "blocked":
            knobs |= {"class_sampling": float(word), "sampling_seed": 0}
    layer = keras_vsoftmax.heads.get(name, classes, kernel_initializer=init, **knobs)
    loss = keras_vsoftmax.VirtualSoftmaxLoss()

    def loss_of(features, labels):
        output = layer(features, labels, training=True)
        return loss(layer.targets(labels, output), output)

    return layer, loss_of


class Step(typing.NamedTuple):
    """A step, and the number of entries of its kernel."""

    run: typing.Callable
    kernel_size: int


def make_step(variant, classes, block_size, jit):
    """Returns a `Step`, whose function makes one: the loss, and a gradient."""
    import keras
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    features = tf.constant(rng.normal(size=(BATCH, DIM), scale=DIM**-0.5).astype("float32"))
    if variant == "products":
        return four_products(features, classes)
    labels = tf.constant(rng.integers(0, classes, BATCH).astype("int32"))
    layer, loss_of = make_loss(variant, classes, block_size)
    layer.build((None, DIM))
    optimizer = keras.optimizers.SGD(0.01)
    optimizer.build(layer.trainable_variables)

    @tf.function(jit_compile=jit)
    def step(features, labels):
        with tf.GradientTape() as tape:
            tape.watch(features)
            loss = loss_of(features, labels)
        gradients = tape.gradient(loss, [features, *layer.trainable_weights])
        optimizer.apply(gradients[1:], layer.trainable_weights)
        return loss, gradients[0]

    return Step(lambda: step(features, labels), int(layer.kernel.shape[0] * layer.kernel.shape[1]))


def four_products(features, classes):
    """The products of a blocked step, on whole arrays: a `Step` that gives two tensors."""
    import tensorflow as tf

    kernel = tf.random.stateless_normal((DIM, classes), seed=(0, 0))

    @tf.function
    def step(features, kernel):
        logits = features @ kernel
        by_features = tf.matmul(logits, kernel, transpose_b=True)
        by_kernel = tf.matmul(features, logits, transpose_a=True)
        # The second forward product, of other factors, or it would be taken for the first.
        again = (features + by_features[:1]) @ kernel
        return by_kernel[0, 0] + again[0, 0], by_features

    return Step(lambda: step(features, kernel), DIM * classes)


def resident(field):
    """A field of /proc/self/status, in bytes: VmRSS is what is held now, VmHWM the peak."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return 1024 * int(line.split()[1])
    raise RuntimeError(f"no {field} in /proc/self/status: this needs Linux")


def measure(variant, classes, block_size, steps, jit):
    """Seconds of each step after the first, processor seconds, and bytes beside the kernel."""
    # The same at a small size first, so that libraries and compilers are there.
    small = make_step(variant, 20 * BATCH, min(block_size, 300), jit)
    small.run()[0].numpy()
    del small
    gc.collect()
    before = resident("VmRSS")
    step = make_step(variant, classes, block_size, jit)
    gc.collect()
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    seconds, processor = [], []
    for _ in range(steps + 1):
        wall, used = time.perf_counter(), time.process_time()
        loss, _ = step.run()
        loss = float(loss.numpy())
        seconds.append(time.perf_counter() - wall)
        processor.append(time.process_time() - used)
    beside = resident("VmHWM") - before - 2 * 4 * step.kernel_size
    return {
        "seconds": seconds[1:],
        "processor": processor[1:],
        "bytes": beside,
        "loss": loss,
    }


def in_fresh_process(*arguments):
    command = [sys.executable, __file__, "--measure", json.dumps(arguments)]
    environment = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{arguments} ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def table(results):
    """A Markdown table of medians; `results` maps (classes, variant) to measurements."""
    lines = [
        "| classes | variant | s / step | times Dense | processor s | times Dense | memory, MB "
        "| of the logits' matrix |",
        "|---|---|---|---|---|---|---|---|",
    ]
    medians = {
        key: {
            name: statistics.median(value for run in runs for value in run[name])
            for name in ("seconds", "processor")
        }
        | {"bytes": max(run["bytes"] for run in runs)}
        for key, runs in results.items()
    }
    for (classes, variant), median in medians.items():
        dense = medians.get((classes, "dense"), median)
        lines.append(
            f"| {classes:,} | {variant} | {median['seconds']:.3f} "
            f"| {median['seconds'] / dense['seconds']:.2f} | {median['processor']:.3f} "
            f"| {median['processor'] / dense['processor']:.2f} "
            + ("| | |" if variant == "products" else memory(median["bytes"], classes))
        )
    return "\n".join(lines)


def memory(count, classes):
    """Two cells of the table: megabytes, and the share of the float32 logits of a batch."""
    return f"| {count / 1e6:,.0f} | {count / (4 * BATCH * classes):.0%} |"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", nargs="+", type=int, default=[10**4, 10**5, 10**6])
    parser.add_argument("--variants", nargs="+", default=VARIANTS)
    parser.add_argument("--block-size", type=int, default=2048)
    parser.add_argument("--steps", type=int, default=3, help="timed steps a process (default 3)")
    parser.add_argument("--rounds", type=int, default=3, help="processes each (default 3)")
    parser.add_argument("--jit", action="store_true", help="compile the whole step with XLA")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        print(json.dumps(measure(*json.loads(args.measure))))
        return
    results = {}
    for _ in range(args.rounds):
        for classes in args.classes:
            for variant in args.variants:
                run = in_fresh_process(variant, classes, args.block_size, args.steps, args.jit)
                results.setdefault((classes, variant), []).append(run)
                print(classes, variant, run, file=sys.stderr, flush=True)
    results = dict(sorted(results.items(), key=lambda item: item[0][0]))
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, load at the end {load}; ", end="")
    print(f"batch {BATCH}, d {DIM}, block {args.block_size}, {'jit' if args.jit else 'graph'}")
    print()
    print(table(results))


if __name__ == "__main__":
    main()
