"""What tf.distribute costs: two replicas with half the batch each, against one with all of it.

Both have the same cores: the machine's, once as one logical CPU and once as two. `fit` is timed
on arrays, in one process, the two interleaved; the ratio is the median over pairs. The ratio of
CPU time is beside it, since waiting counts for little there: what else the machine does too.

    python benchmarks/replicas.py
    python benchmarks/replicas.py --batch 512 --width 1024 --classes 10000
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
from keras_vsoftmax.distributed import strategies


def make(strategy, args):
    with strategies.scope(strategy):
        layers = [keras.layers.Dense(args.width, "relu") for _ in range(3)]
        backbone = keras.Sequential([keras.Input((args.width,)), *layers])
        head = keras_vsoftmax.VirtualSoftmax(args.classes)
        model = keras_vsoftmax.Classifier(backbone, head)
        model.compile(keras.optimizers.SGD(0.01), jit_compile=False)
    return model


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=20, help="steps of one timed epoch")
    parser.add_argument("--pairs", type=int, default=15, help="interleaved repeats")
    args = parser.parse_args()
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(args.batch * args.steps, args.width)).astype("float32")
    y = rng.integers(0, args.classes, len(x))
    models = {name: make(strategies.get(name), args) for name in ("none", "mirrored")}
    spent = {name: [] for name in models}
    for pair in range(args.pairs + 1):  # the first traces
        for name, model in sorted(models.items(), reverse=pair % 2 == 0):
            start = np.array([time.perf_counter(), time.process_time()])
            model.fit(x, y, batch_size=args.batch, verbose=0)
            spent[name].append([time.perf_counter(), time.process_time()] - start)
    one, two = (np.array(spent[name][1:]) / args.steps for name in models)
    print(f"TensorFlow {tf.__version__}, Keras {keras.__version__}, {os.cpu_count()} cores")
    print(
        f"batch {args.batch}, d {args.width}, {args.classes} classes, median of {args.pairs} pairs"
    )
    for k, clock in enumerate(("elapsed", "CPU time")):
        print(
            f"{clock}: one replica {1e3 * np.median(one[:, k]):.1f} ms a step, "
            f"two {1e3 * np.median(two[:, k]):.1f} ms, ratio {np.median(two[:, k] / one[:, k]):.2f}"
        )


if __name__ == "__main__":
    main()
