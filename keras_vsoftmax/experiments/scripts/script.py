"""What every benchmark script does between its options and its table."""

import contextlib
import sys
from typing import NamedTuple

from keras_vsoftmax.distributed import strategies
from keras_vsoftmax.experiments.data import image_sets
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.report import report
from keras_vsoftmax.experiments.scripts import options
from keras_vsoftmax.experiments.training import runner
from keras_vsoftmax.utils.files import check_writable


class Trained(NamedTuple):
    """What `train` returns.

    Args:
        data: what was trained on.
        results: list of `(run, record)`, seed by seed.
        chief: whether this process is the one of several workers that has written the runs, and
            is to draw them.
    """

    data: object
    results: list
    chief: bool


def main(description, recipe, argv=None):
    """Run a script that trains heads by one recipe and prints their table.

    Args:
        description: the script's docstring, for `--help`.
        recipe: a `Recipe`.
        argv: the command-line arguments, by default those of the process.
    """
    parser = options.parser(description, recipe)
    run(recipe, parser.parse_args(argv), parser.prog)


def run(recipe, args, prog):
    """Train what the options name, print its table, and end with one line where that fails."""
    with one_line_errors(prog):
        show(train(recipe, args).results)


def train(recipe, args, load=None):
    """Train all heads and seeds that the options name.

    Args:
        recipe: a `Recipe`.
        args: from `options.parser`.
        load: function of `recipe` and `args` that gives the data; by default they are the image
            set that the recipe names.

    Returns:
        `Trained`.
    """
    strategy, data = prepare(recipe, args, load)
    recipe = options.resolve(recipe, args, data.samples)
    runs = [
        runner.Run(recipe, head, seed, args.out, options.variant(args))
        for seed in dict.fromkeys(args.seeds)
        for head in options.chosen_heads(args)
    ]
    results = [(run, runner.train(run, data, strategy, args.resume)) for run in runs]
    return Trained(data, results, strategies.is_chief(strategy))


def prepare(recipe, args, load=None):
    """The strategy, or `None`, and the data that the options name; `load` as for `train`."""
    check_writable(args.out)
    strategy = _strategy(args.strategy)
    return strategy, (load or image_set)(recipe, args)


def show(results, figure=None):
    """Print the tables of `(run, record)` pairs, and where the figure is."""
    print(report.tables([record for _, record in results]))
    if figure is not None:
        print(f"Figure: {figure}")


def figure_path(args, name):
    """`OUT/NAME.png`, and apart from it what --quick and --synthetic draw."""
    return args.out / ("-".join(filter(None, (name, options.variant(args)))) + ".png")


@contextlib.contextmanager
def one_line_errors(prog):
    """End the script with one line, and a status that is not zero, for what a user can mend."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"\n{prog}: stopped; --resume goes on from the last whole epoch", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        expected = (ExperimentError, ImportError, OSError, FloatingPointError)
        # TensorBoard's writer meets a full disk with an error of TensorFlow's own.
        if not isinstance(error, expected) and "SummaryWriter" not in str(error):
            raise
        print(f"{prog}: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)


def _strategy(name):
    try:
        return strategies.get(name)
    except ValueError as error:
        raise ExperimentError(str(error)) from error


def image_set(recipe, args):
    """The image set that a recipe names, as the options say."""
    limit = options.QUICK_LIMIT if args.quick else (None, None)
    if not args.synthetic:
        return image_sets.load(recipe.data, args.data_dir, limit)
    if not args.quick:
        limit = (10_000, 2_000)
    print(f"SYNTHETIC DATA: made-up images of {recipe.title}'s shape. The errors mean nothing.")
    return image_sets.synthetic(recipe.data, limit)
