"""Cost of one training step of a head, as a ratio to Dense with sparse cross-entropy.

A step is the forward pass, the loss, the gradients of features and kernel, and the SGD update;
no metric, no bias. The rivals are interleaved in one process, and each ratio is the median over
pairs, so that what else the machine does falls on both sides. TensorFlow, graph and jit.

    python benchmarks/head_step.py --heads virtual
    python benchmarks/head_step.py --heads all --shapes 256,512,1000 --modes graph
    python benchmarks/head_step.py --network --modes graph --pairs 15
"""

import argparse
import os
import time

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import keras_vsoftmax

SHAPES = [(128, 64, 10), (256, 128, 100), (256, 512, 1000), (256, 512, 10575)]
# Seconds of one sample: many steps of a small head, few of a large one.
SAMPLE_SECONDS = 0.05


def dense_loss(layer, features, labels):
    logits = layer(features)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)


def head_loss(layer, features, labels):
    return keras_vsoftmax.VirtualSoftmaxLoss()(labels, layer(features, labels, training=True))


def literal_loss(layer, features, labels):
    logits = keras_vsoftmax.numerics.literal_logits(features, layer.kernel, labels)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)(labels, logits)


def make_step(rival, shape, jit, backbone=None):
    """Returns a function of no arguments that makes one training step.

    Without a backbone the inputs are features (batch, d), and their gradient is part of the
    step; with one they are CIFAR's 32x32 images.
    """
    batch, dim, classes = shape
    rng = np.random.default_rng(0)
    size = (batch, dim) if backbone is None else (batch, 32, 32, 3)
    inputs = tf.constant(rng.normal(size=size).astype("float32"))
    labels = tf.constant(rng.integers(0, classes, batch).astype("int32"))
    if rival in ("dense", "literal"):
        layer = keras.layers.Dense(classes, use_bias=False)
        loss_of = dense_loss if rival == "dense" else literal_loss
    else:
        layer = keras_vsoftmax.heads.get(rival, classes)
        loss_of = head_loss
    layer.build((None, dim))
    variables = layer.trainable_variables + (backbone.trainable_variables if backbone else [])
    optimizer = keras.optimizers.SGD(0.01)
    optimizer.build(variables)

    @tf.function(jit_compile=jit)
    def step(inputs, labels):
        with tf.GradientTape() as tape:
            if backbone is None:
                tape.watch(inputs)
                loss = loss_of(layer, inputs, labels)
            else:
                loss = loss_of(layer, backbone(inputs, training=True), labels)
        watched = [] if backbone else [inputs]
        gradients = tape.gradient(loss, [*(v.value for v in variables), *watched])
        optimizer.apply(gradients[: len(variables)], variables)
        return loss, gradients[-1]

    return lambda: step(inputs, labels)


def sample(step, steps):
    """Seconds a step, over `steps` steps."""
    start = time.perf_counter()
    for _ in range(steps):
        loss, _ = step()
    loss.numpy()
    return (time.perf_counter() - start) / steps


def measure(rivals, shape, jit, pairs, make_backbone=lambda: None):
    """Returns Dense's median seconds a step, and each rival's median ratio to it."""
    steps = {r: make_step(r, shape, jit, make_backbone()) for r in ["dense", *rivals]}
    for step in steps.values():
        sample(step, 3)
    count = max(1, round(SAMPLE_SECONDS / sample(steps["dense"], 3)))
    seconds = {rival: [] for rival in steps}
    rng = np.random.default_rng(1)
    for _ in range(pairs):
        for rival in rng.permutation(list(steps)):
            seconds[rival].append(sample(steps[rival], count))
    dense = np.array(seconds["dense"])
    return np.median(dense), {r: np.median(np.array(seconds[r]) / dense) for r in rivals}


def parse_shape(text):
    shape = tuple(int(size) for size in text.split(","))
    if len(shape) != 3:
        raise ValueError(text)
    return shape


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--heads", nargs="+", default=["virtual"], help="heads, or all")
    parser.add_argument(
        "--shapes", nargs="+", type=parse_shape, default=SHAPES, help="batch,d,classes"
    )
    parser.add_argument("--modes", nargs="+", default=["graph", "jit"], choices=["graph", "jit"])
    parser.add_argument("--pairs", type=int, default=41, help="interleaved repeats (default 41)")
    parser.add_argument(
        "--network", action="store_true", help="the whole CIFAR10 network at width 0.25 instead"
    )
    parser.add_argument("--literal", action="store_true", help="the published C+1 form as well")
    args = parser.parse_args()
    heads = keras_vsoftmax.heads.NAMES if args.heads == ["all"] else args.heads
    rivals = [*heads, *(["literal"] if args.literal else [])]
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, {os.cpu_count()} cores")
    print(f"{'(batch, d, C)':<18}{'mode':<7}{'Dense, ms':>10}  ratio to Dense, median of pairs")
    make_backbone = lambda: None  # noqa: E731
    if args.network:
        args.shapes = [(128, 256, 10)]
        make_backbone = cifar10_network
    for shape in args.shapes:
        for mode in args.modes:
            dense, ratios = measure(rivals, shape, mode == "jit", args.pairs, make_backbone)
            cells = "  ".join(f"{rival} {ratio:.2f}" for rival, ratio in ratios.items())
            print(f"{shape!s:<18}{mode:<7}{1e3 * dense:>10.3f}  {cells}", flush=True)


def cifar10_network():
    from keras_vsoftmax import backbones

    keras.utils.set_random_seed(0)
    return backbones.get("plain_cifar10", (32, 32, 3), width=0.25)


if __name__ == "__main__":
    main()
