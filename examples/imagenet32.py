"""ImageNet at 32x32, 1,000 classes: accuracy in % as published; errors beside yours.

    top-1   softmax 47.63  noisy 47.96  large_margin 48.59  angular 48.66  virtual 48.84
    top-5   softmax 73.14  noisy 73.25  large_margin 73.82  angular 73.57  virtual 74.06

Recipe (network and length are not published, these are ours): plain 3x3 network (96, 96x4,
192x4, 384x4, embedding 512), SGD with momentum 0.9, batch 256, rate 0.1 divided by ten at
133,000 and 167,000 of 200,000 steps, L2 of 2.5e-4 on every kernel. The set takes 4.1 GB of memory.

    python examples/imagenet32.py --heads softmax virtual --precision mixed_bfloat16
    python examples/imagenet32.py --quick
"""

from keras_vsoftmax.experiments.scripts import script
from keras_vsoftmax.experiments.training import recipes


def main(argv=None):
    script.main(__doc__, recipes.IMAGENET32, argv)


if __name__ == "__main__":
    main()
