"""One set of command-line options for every script."""

import argparse
import dataclasses
import pathlib

from keras_vsoftmax import backbones, heads
from keras_vsoftmax.backbones.plain import check_ending
from keras_vsoftmax.distributed import strategies

# Under a minute on two cores: a slice of the data, a narrow network, 48 steps.
_QUICK = {"width": 0.125, "batch_size": 64, "learning_rate": 0.02}
_QUICK_ITERATIONS = 48
QUICK_LIMIT = (1024, 512)


class _Help(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """The description as written, and the default of each option."""


def parser(description, recipe, heads_default=("softmax", "virtual"), image_set=True):
    """A parser of the options that all scripts share; a script may add its own.

    Options that override the recipe are absent from the result where they are not given. The two
    about named image sets are left out where `image_set` is false.
    """
    made = argparse.ArgumentParser(description=description, formatter_class=_Help)
    made.add_argument(
        "--heads",
        nargs="+",
        metavar="NAME",
        choices=(*heads.NAMES, "all"),
        default=list(heads_default),
        help=f"heads to train: all, or some of {', '.join(heads.NAMES)}",
    )
    made.add_argument(
        "--seeds",
        nargs="+",
        metavar="N",
        type=_non_negative_int,
        default=[0],
        help="one run of each head for each seed; heads are compared seed by seed",
    )
    length = made.add_mutually_exclusive_group()
    _override(length, "--epochs", recipe, positive_int, "length of a run in passes over the data")
    _override(
        length,
        "--iterations",
        recipe,
        positive_int,
        "length of a run in steps, rounded to whole epochs; the rate falls at the same shares",
    )
    _override(made, "--batch-size", recipe, positive_int, "images a step")
    _override(made, "--learning-rate", recipe, _positive_float, "rate at the start")
    _override(made, "--width", recipe, _positive_float, "factor on the channels of the backbone")
    _override(made, "--backbone", recipe, str, "network below the head", choices=backbones.NAMES)
    _override(
        made,
        "--disturb-label",
        recipe,
        _share,
        "share of the labels of each batch that are redrawn, uniformly over all classes",
        metavar="RATE",
    )
    _override(
        made,
        "--ending",
        recipe,
        ending,
        "how a plain network ends: none, average, norm, norm+relu or layer_norm",
    )
    _override(
        made,
        "--virtual-warmup",
        recipe,
        _share,
        "share of the steps over which the virtual class comes in",
        metavar="SHARE",
    )
    _override(
        made,
        "--virtual-strength",
        recipe,
        _part,
        "how much of the virtual class is there afterwards, over 0 to 1",
        metavar="R",
    )
    _override(
        made,
        "--precision",
        recipe,
        str,
        "Keras's dtype policy",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
    )
    made.add_argument(
        "--strategy",
        choices=strategies.NAMES,
        default="auto",
        help="distribution over devices; auto takes all GPUs",
    )
    made.add_argument(
        "--out",
        type=folder,
        default="runs",
        help="folder for records, models and TensorBoard files; a run that is there is replaced",
    )
    made.add_argument(
        "--resume",
        action="store_true",
        help="go on with runs that were stopped, and keep those that are complete",
    )
    made.add_argument(
        "--quick",
        action="store_true",
        help="a slice of the data, a narrow network and a few steps: under a minute",
    )
    if not image_set:
        made.set_defaults(synthetic=False)
        return made
    made.add_argument(
        "--data-dir",
        type=folder,
        default="~/tensorflow_datasets",
        help="folder of NAME.npz, or of tensorflow-datasets's files",
    )
    made.add_argument(
        "--synthetic",
        action="store_true",
        help="made-up images of the right shape in the place of the data set",
    )
    return made


def resolve(recipe, args, samples):
    """The recipe with what the options say, for a training set of so many samples."""
    overrides = {**(_QUICK if args.quick else {}), **vars(args)}
    fields = {field.name for field in dataclasses.fields(recipe)} - {"iterations"}
    changed = {name: value for name, value in overrides.items() if name in fields}
    changed["batch_size"] = min(changed.get("batch_size", recipe.batch_size), samples)
    recipe = dataclasses.replace(recipe, **changed)

    steps = samples // recipe.batch_size
    iterations = _QUICK_ITERATIONS if args.quick else recipe.iterations
    iterations = getattr(args, "iterations", iterations)
    epochs = getattr(args, "epochs", max(1, round(iterations / steps)))
    return recipe.shortened(epochs * steps)


def variant(args):
    """The word that keeps apart what is no measurement; empty for one that is."""
    return "synthetic" if args.synthetic else "quick" if args.quick else ""


def chosen_heads(args):
    """The heads asked for, each once."""
    return list(heads.NAMES) if "all" in args.heads else list(dict.fromkeys(args.heads))


def _override(group, name, recipe, type, text, choices=None, metavar=None):
    default = getattr(recipe, name.strip("-").replace("-", "_"), None)
    told = "" if default is None else f" (default: the recipe's, {default})"
    group.add_argument(
        name,
        type=type,
        choices=choices,
        default=argparse.SUPPRESS,
        help=text + told,
        metavar=metavar or (None if choices else name.strip("-").upper().replace("-", "_")),
    )


def folder(text):
    """An argument that is a path; `~` is the home."""
    return pathlib.Path(text).expanduser()


def ending(text):
    """An argument that says how a plain network ends."""
    try:
        check_ending(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _number(type, holds, expected):
    def convert(text):
        try:
            value = type(text)
        except ValueError:
            value = None
        if value is None or not holds(value):
            raise argparse.ArgumentTypeError(f"must be {expected}. Received: {text}")
        return value

    return convert


positive_int = _number(int, lambda value: value > 0, "a positive integer")
_non_negative_int = _number(int, lambda value: value >= 0, "an integer of at least 0")
_share = _number(float, lambda value: 0 <= value <= 1, "a share from 0 to 1")
_part = _number(float, lambda value: 0 < value <= 1, "over 0 and at most 1")
_positive_float = _number(float, lambda value: 0 < value < float("inf"), "a positive number")
