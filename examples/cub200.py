"""Birds: CUB-200-2011, 200 species that look alike, the fine-grained set of the paper.

Trains on the first 100 species and searches among all images of the last 100, each in turn among
the others. With --classify: trains on all 200 and counts errors on the test images of the set's
own split. The poster gives no number for either.

Recipe, ours: ResNet-18 with its stages for photographs and global average pooling, no pretrained
weights, images of 224x224 (the largest central square, resized), batch 64, rate 0.05 divided by
ten at 12,000 and 18,000 of 20,000 steps, padded crops and mirroring.

    python examples/cub200.py --heads softmax virtual arcface --seeds 0 1 2
    python examples/cub200.py --classify
    python examples/cub200.py --quick --image-size 64

The images come from DIR/cub200.npz (x_train, y_train, x_test, y_test), or as caltech_birds2011
from tensorflow-datasets. They stay in memory: 1.8 GB at 224x224.
"""

import dataclasses

from keras_vsoftmax.experiments.data import image_sets
from keras_vsoftmax.experiments.data.unseen import leave_out
from keras_vsoftmax.experiments.scripts import options, script
from keras_vsoftmax.experiments.training.recipes import Recipe

RECIPE = Recipe(
    name="cub200",
    title="CUB-200-2011",
    data="cub200",
    backbone="resnet18_photos",
    iterations=20_000,
    drops=(12_000, 18_000),
    batch_size=64,
    learning_rate=0.05,
    augment=True,
)
SPECIES = 200


def load(recipe, args):
    shape = (args.image_size, args.image_size, 3)
    spec = image_sets.Spec(shape, SPECIES, "caltech_birds2011", resized=True)
    limit = options.QUICK_LIMIT if args.quick else (None, None)
    images = image_sets.load_spec(spec, recipe.data, args.data_dir, limit)
    return images if args.classify else leave_out(images, SPECIES // 2, search_all=True)


def main(argv=None):
    parser = options.parser(__doc__, RECIPE)
    parser.add_argument(
        "--classify", action="store_true", help="train on all species, and count errors"
    )
    parser.add_argument("--image-size", type=options.positive_int, default=224, metavar="PIXELS")
    args = parser.parse_args(argv)
    if args.synthetic:
        parser.error("--synthetic: there are no made-up birds; --quick takes a slice of the real")
    recipe = RECIPE
    if not args.classify:
        recipe = dataclasses.replace(
            RECIPE, name="cub200-unseen", title="CUB-200-2011, the last 100 species, not trained on"
        )
    with script.one_line_errors(parser.prog):
        script.show(script.train(recipe, args, load).results)


if __name__ == "__main__":
    main()
