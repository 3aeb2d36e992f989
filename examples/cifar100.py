"""CIFAR100, and with --augment CIFAR100+: test error in %, published beside yours.

    CIFAR100    softmax 27.70  noisy 26.33  large_margin 26.18  angular 26.09  virtual 26.02
    CIFAR100+   softmax 25.52  noisy 25.20  large_margin 24.32  angular 24.11  virtual 24.01

Recipe: plain 3x3 network (96, 96x4, 192x4, 384x4, embedding 512), SGD with momentum 0.9, batch
256, rate 0.1 divided by ten at 20,000 and 27,000 of 30,000 steps, L2 of 2.5e-4 on every kernel.
CIFAR100+ adds random crops of images padded by 4 pixels, and mirroring.

`--backbone resnet18` takes another recipe whole: the images of CIFAR100+, batch 128, Nesterov
momentum, a rate that rises to 0.1 over 5 epochs and is divided by ten after 100 and 150 of 200
epochs. `--epochs` makes it shorter by the same shares.

    python examples/cifar100.py --heads softmax virtual --seeds 0 1 2
    python examples/cifar100.py --augment --backbone wrn28_10
    python examples/cifar100.py --backbone resnet18 --epochs 60
    python examples/cifar100.py --quick
"""

from keras_vsoftmax.experiments.scripts import options, script
from keras_vsoftmax.experiments.training import recipes


def main(argv=None):
    parser = options.parser(__doc__, recipes.CIFAR100)
    parser.add_argument("--augment", action="store_true", help="train on CIFAR100+")
    args = parser.parse_args(argv)
    recipe = recipes.CIFAR100_PLUS if args.augment else recipes.CIFAR100
    if getattr(args, "backbone", None) == "resnet18":
        recipe = recipes.CIFAR100_RESNET18
    script.run(recipe, args, parser.prog)


if __name__ == "__main__":
    main()
