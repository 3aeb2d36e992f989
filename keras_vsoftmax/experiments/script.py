"""What every benchmark script does between its options and its table."""

import contextlib
import sys

from keras_vsoftmax import strategies
from keras_vsoftmax.experiments import data as image_sets
from keras_vsoftmax.experiments import options, report, runner
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.files import check_writable


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
        show(train(recipe, args)[1])


def train(recipe, args, load=None):
    """Train all heads and seeds that the options name.

    Args:
        recipe: a `Recipe`.
        args: from `options.parser`.
        load: function of `recipe` and `args` that gives the data; by default they are the image
            set that the recipe names.

    Returns:
        The data, and a list of `(run, record)`, seed by seed.
    """
    strategy, data = prepare(recipe, args, load)
    recipe = options.resolve(recipe, args, data.samples)
    variant = "synthetic" if args.synthetic else "quick" if args.quick else ""
    runs = [
        runner.Run(recipe, head, seed, args.out, variant)
        for seed in dict.fromkeys(args.seeds)
        for head in options.chosen_heads(args)
    ]
    return data, [(run, runner.train(run, data, strategy, args.resume)) for run in runs]


def prepare(recipe, args, load=None):
    """The strategy, or `None`, and the data that the options name; `load` as for `train`."""
    check_writable(args.out)
    strategy = _strategy(args.strategy)
    return strategy, (load or _image_set)(recipe, args)


def show(results, figure=None):
    """Print the tables of `(run, record)` pairs, and where the figure is."""
    print(report.tables([record for _, record in results]))
    if figure is not None:
        print(f"Figure: {figure}")


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


def _image_set(recipe, args):
    limit = options.QUICK_LIMIT if args.quick else (None, None)
    if not args.synthetic:
        return image_sets.load(recipe.data, args.data_dir, limit)
    if not args.quick:
        limit = (10_000, 2_000)
    print(f"SYNTHETIC DATA: made-up images of {recipe.title}'s shape. The errors mean nothing.")
    return image_sets.synthetic(recipe.data, limit)
