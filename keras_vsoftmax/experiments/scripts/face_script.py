"""What the scripts that verify faces share: options, tests from pair lists, figures."""

import argparse

import keras
import numpy as np

from keras_vsoftmax.experiments.data.face_sets import FaceTest, scores_path
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.report import figures
from keras_vsoftmax.experiments.scripts import options, script

# What --quick leaves: people to train on, and pairs of each kind in a fold.
QUICK_PEOPLE = 100
QUICK_PAIRS = 20


def parser(description, recipe, image_size):
    """The options of all scripts, and those of faces."""
    made = options.parser(description, recipe, image_set=False)
    made.add_argument(
        "--image-size",
        nargs=2,
        type=options.positive_int,
        default=image_size,
        metavar=("HEIGHT", "WIDTH"),
        help="to which images are cropped and resized",
    )
    made.add_argument(
        "--min-images",
        type=options.positive_int,
        default=2,
        metavar="N",
        help="leave out people with fewer images to train on",
    )
    made.add_argument(
        "--flip",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="verify with the mean embedding of an image and its mirror image",
    )
    return made


def add_training_people(made, rest):
    """Add the options that say who is trained on, of which one must be given.

    Args:
        made: the parser.
        rest: what happens to the people of the other folds, for the help.

    Returns:
        The group of options that exclude each other.
    """
    source = made.add_mutually_exclusive_group(required=True)
    source.add_argument("--faces", type=options.folder, metavar="DIR", help="people to train on")
    source.add_argument(
        "--folds",
        nargs="+",
        type=options.positive_int,
        metavar="N",
        help=f"train on the people of these folds of --pairs, {rest}",
    )
    return source


def read_pairs(reader, path):
    """`Pairs` from a file.

    Raises:
        ExperimentError: naming the line that is malformed.
    """
    try:
        return reader(path)
    except ValueError as error:
        raise ExperimentError(str(error)) from error


def people_of_folds(pairs, folds):
    """Names of the people of the folds to train on, as a set.

    Raises:
        ExperimentError: there is no such fold, or too few are left to verify on.
    """
    known = sorted(set(pairs.folds.tolist()))
    if not set(folds) <= set(known) or len(set(known) - set(folds)) < 2:
        raise ExperimentError(
            "--folds must name folds of --pairs and leave two to verify on. "
            f"Received: {folds} of {known}"
        )
    return set(pairs.in_folds(folds).people())


def face_test(pairs, root, args, decoded, missing="error", threshold_pairs=None):
    """A `FaceTest` by the options, its images decoded and so seen to be there."""
    lists = (pairs, threshold_pairs)
    if args.quick:
        lists = [some and some.first_of_each(QUICK_PAIRS) for some in lists]
    test = FaceTest(lists[0], root, missing, args.flip, lists[1], decoded)
    try:
        test.check()
    except FileNotFoundError as error:
        raise ExperimentError(str(error).replace('missing="skip"', "--skip-missing")) from error
    return test


def verify_model(path, tests, batch_size=128):
    """Print the report of a saved model for each test.

    Raises:
        ExperimentError: the file is no model that embeds images.
    """
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:  # whatever can be wrong with a file
        raise ExperimentError(f"{path}: is no readable Keras model ({error})") from error
    try:
        for name, test in tests.items():
            print(f"{path} on {name}\n{test.run(model, batch_size)}\n")
    except (TypeError, ValueError) as error:
        raise ExperimentError(f"{path}: cannot be verified ({error})") from error


def draw(results, args):
    """Draw the ROC and the histograms of each test, all heads in one.

    Args:
        results: list of `(run, record)`, from `script.train`.
        args: the options; the figures are `roc-NAME.png` and `scores-NAME.png` in `args.out`.

    Returns:
        The paths, as one line.
    """
    paths = []
    for name in results[0][1]["data"]["tests"]:
        scores = {}
        for run, record in results:
            with np.load(scores_path(run.folder, name)) as kept:
                scores.setdefault(record["head"], []).append((kept["scores"], kept["matched"]))
        for plot, kind in ((figures.roc, "roc"), (figures.score_histograms, "scores")):
            paths.append(script.figure_path(args, f"{kind}-{name}"))
            plot(scores, results[0][0].recipe.title, paths[-1])
    return ", ".join(map(str, paths))
