"""MNIST: test error in %, published beside yours.

    softmax 0.35   noisy 0.32   large_margin 0.30   angular 0.30   virtual 0.28

Recipe: plain 3x3 network (64, 64x3, 64x4, 64x3, embedding 256), SGD with momentum 0.9, batch
256, rate 0.1 divided by ten at 12,000 and 15,000 of 18,000 steps, L2 of 2.5e-4 on every kernel.

    python examples/mnist.py --heads softmax virtual --seeds 0 1 2
    python examples/mnist.py --quick
"""

from keras_vsoftmax.experiments.scripts import script
from keras_vsoftmax.experiments.training import recipes


def main(argv=None):
    script.main(__doc__, recipes.MNIST, argv)


if __name__ == "__main__":
    main()
