"""Test error against steps on CIFAR100, one line a head, as in the poster's figure.

Published: all heads converge alike, and Virtual Softmax ends lowest (26.02% against 27.70%).

Recipe: that of cifar100.py.

    python examples/convergence.py --heads softmax virtual large_margin --seeds 0 1 2
    python examples/convergence.py --quick

The figure is OUT/convergence.png.
"""

from keras_vsoftmax.experiments.report import figures
from keras_vsoftmax.experiments.scripts import options, script
from keras_vsoftmax.experiments.training import recipes, records


def main(argv=None):
    parser = options.parser(__doc__, recipes.CIFAR100)
    args = parser.parse_args(argv)
    with script.one_line_errors(parser.prog):
        trained = script.train(recipes.CIFAR100, args)
        if trained.chief:
            path = script.figure_path(args, "convergence")
            (group,) = records.groups(record for _, record in trained.results)
            figures.convergence(group, path)
            script.show(trained.results, path)


if __name__ == "__main__":
    main()
