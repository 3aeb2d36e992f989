"""Which head, with which margin? A search on the digits that ship with scikit-learn.

Twenty trials of twelve epochs, the best five of them as a table; then the winner and plain
softmax are trained anew on several seeds, and tested on digits that the search has not seen.

    python examples/tune_digits.py
    python examples/tune_digits.py --tuner Hyperband --heads softmax virtual arcface
    python examples/tune_digits.py --quick

A search that was stopped goes on where it was when it is started again; --overwrite begins anew.
"""

import argparse
import pathlib

import keras
import numpy as np

from keras_vsoftmax import heads, tuning
from keras_vsoftmax.experiments.scripts import script, search
from keras_vsoftmax.experiments.training import environment
from keras_vsoftmax.utils.extras import require


def backbone(hp):
    width = hp.Choice("width", [16, 32])
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(width, 3, padding="same", activation="relu"),
            keras.layers.MaxPooling2D(2),
            keras.layers.Conv2D(2 * width, 3, padding="same", activation="relu"),
            keras.layers.Flatten(),
        ]
    )


def digits():
    """Images and labels in a fixed random order: to search with, and to test the winner on."""
    datasets = require("sklearn.datasets", extra="tuner", feature="This example")
    x, y = datasets.load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order].reshape(-1, 8, 8, 1) / 16).astype("float32"), y[order].astype("int32")
    return (x[:1400], y[:1400]), (x[1400:], y[1400:])


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tuner", choices=search.TUNERS, default="RandomSearch")
    parser.add_argument("--heads", nargs="+", choices=heads.NAMES, default=heads.NAMES)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("runs"))
    parser.add_argument("--overwrite", action="store_true", help="forget an earlier search")
    parser.add_argument("--quick", action="store_true", help="four trials, two epochs, two seeds")
    args = parser.parse_args(argv)
    name = f"digits-{args.tuner}"
    if args.quick:
        args.trials, args.epochs, args.seeds, name = 4, 2, [0, 1], f"{name}-quick"

    def space(seed):
        return tuning.HeadHyperModel(
            backbone, 10, heads=args.heads, embedding=[16, 32, 64], batch_size=[32, 64], seed=seed
        )

    with script.one_line_errors(parser.prog):
        environment.deterministic()
        known, unseen = digits()
        tuner = search.make_tuner(
            args.tuner,
            space(seed=0),
            args.trials,
            args.epochs,
            identity={"heads": sorted(args.heads)},
            directory=args.out,
            project_name=name,
            overwrite=args.overwrite,
        )
        tuner.search(*known, validation_split=0.25, epochs=args.epochs, verbose=2)
        if tuner.is_worker:
            return
        path = args.out / f"{name}.keras"
        training = {"epochs": args.epochs, "verbose": 0}
        search.conclude(tuner, space, known, unseen, args.seeds, path, **training)


if __name__ == "__main__":
    main()
