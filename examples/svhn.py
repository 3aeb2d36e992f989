"""SVHN with its extra images: test error in %, published beside yours.

    softmax 2.11   noisy 2.04   large_margin 2.01   angular 2.01   virtual 1.93

Recipe: plain 3x3 network (64, 64x4, 96x4, 128x4, embedding 256), SGD with momentum 0.9, batch
256, rate 0.1 divided by ten at 12,000 and 15,000 of 18,000 steps, L2 of 2.5e-4 on every kernel.

    python examples/svhn.py --heads softmax virtual --seeds 0 1 2
    python examples/svhn.py --quick
"""

from keras_vsoftmax.experiments.scripts import script
from keras_vsoftmax.experiments.training import recipes


def main(argv=None):
    script.main(__doc__, recipes.SVHN, argv)


if __name__ == "__main__":
    main()
