"""Cosine of test features to their own and to the nearest other class centre.

Published, as a figure without numbers: on CIFAR10 and CIFAR100 Virtual Softmax has the higher
similarity within classes and the lower one between them.

Recipes: those of cifar10.py and cifar100.py.

    python examples/similarity.py --seeds 0 1 2
    python examples/similarity.py --quick --sets cifar100

The figure is OUT/similarity.png.
"""

from keras_vsoftmax.experiments.report import figures
from keras_vsoftmax.experiments.scripts import options, script
from keras_vsoftmax.experiments.training import recipes, records

RECIPES = {"cifar10": recipes.CIFAR10, "cifar100": recipes.CIFAR100}


def main(argv=None):
    parser = options.parser(__doc__, recipes.CIFAR100)
    parser.add_argument(
        "--sets", nargs="+", choices=RECIPES, default=list(RECIPES), help="image sets, a panel each"
    )
    args = parser.parse_args(argv)
    with script.one_line_errors(parser.prog):
        # All sets first: one that cannot be had is told before hours of training on another.
        sets = {name: script.image_set(RECIPES[name], args) for name in dict.fromkeys(args.sets)}
        results = []
        for name, images in sets.items():
            trained = script.train(RECIPES[name], args, lambda *_, images=images: images)
            results += trained.results
        if trained.chief:
            path = script.figure_path(args, "similarity")
            figures.similarity(records.groups(record for _, record in results), path)
            script.show(results, path)


if __name__ == "__main__":
    main()
