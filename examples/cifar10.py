"""CIFAR10, images not augmented: test error in %, published beside yours.

    softmax 7.15   noisy 6.91   large_margin 6.77   angular 6.83   virtual 6.68

Recipe: plain 3x3 network (64, 64x4, 96x4, 128x4, embedding 256), SGD with momentum 0.9, batch
256, rate 0.1 divided by ten at 12,000 and 15,000 of 18,000 steps, L2 of 2.5e-4 on every kernel.

    python examples/cifar10.py --heads softmax virtual --seeds 0 1 2
    python examples/cifar10.py --quick
"""

from keras_vsoftmax.experiments.scripts import script
from keras_vsoftmax.experiments.training import recipes


def main(argv=None):
    script.main(__doc__, recipes.CIFAR10, argv)


if __name__ == "__main__":
    main()
