"""How long a training step waits for its data: TensorFlow, data in memory.

    python benchmarks/input_pipeline.py --backbone plain_mnist --width 0.125

Times whole epochs over shuffled batches against epochs over one batch that is at hand already,
in pairs and interleaved, and prints the medians of both and of the difference.
"""

import argparse
import statistics
import time

import keras
import tensorflow as tf

from keras_vsoftmax import Classifier, VirtualSoftmax, backbones
from keras_vsoftmax.experiments.data import image_sets as data


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", choices=backbones.NAMES, default="plain_cifar100")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20, help="steps an epoch")
    parser.add_argument("--rounds", type=int, default=7, help="pairs of epochs")
    args = parser.parse_args(argv)

    images = data.synthetic("cifar100", (args.steps * args.batch_size, 1))
    batches = data.Batches(images.x_train, images.y_train, args.batch_size, seed=0)
    fixed = tf.data.Dataset.from_tensors(batches[0]).repeat(args.steps)
    network = backbones.get(args.backbone, images.x_train.shape[1:], width=args.width)
    model = Classifier(network, VirtualSoftmax(images.classes))
    model.compile(keras.optimizers.SGD(0.01))

    def seconds(source):
        start = time.perf_counter()
        model.fit(source, verbose=0)
        return time.perf_counter() - start

    seconds(batches), seconds(fixed)  # traces and compiles
    pairs = [(seconds(batches), seconds(fixed)) for _ in range(args.rounds)]
    waits = [shuffled - at_hand for shuffled, at_hand in pairs]
    start = time.perf_counter()
    for index in range(args.steps):
        batches[index]
    making = time.perf_counter() - start

    def show(text, value):
        print(f"{text:<42}{1000 * value / args.steps:8.2f} ms a step")

    show("batch at hand", statistics.median(at_hand for _, at_hand in pairs))
    show("shuffled batches", statistics.median(shuffled for shuffled, _ in pairs))
    show("waiting for data (median difference)", statistics.median(waits))
    show("making a batch, beside the step", making)
    share = statistics.median(wait / shuffled for wait, (shuffled, _) in zip(waits, pairs))
    print(f"waiting takes {100 * share:.1f}% of a step")


if __name__ == "__main__":
    main()
