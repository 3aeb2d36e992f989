"""Softmax beside Virtual Softmax on real handwritten digits: the first thing to run.

Trains a small convolutional network on the 1,797 digits that ship with scikit-learn (8x8 pixels,
1,437 to train on and 360 to test on), several seeds a head, and prints the test error, how
compact the classes are and how far apart. Draws the features of two-dimensional embeddings,
then saves a model, loads it back and predicts from images alone. No download.

    python examples/digits.py                 # softmax and virtual, 3 seeds: under 2 minutes
    python examples/digits.py --quick         # one seed, fewer epochs: under 20 seconds
    python examples/digits.py --heads all     # every head of the package
"""

import argparse
import pathlib
import statistics
import sys
import time

import keras
import numpy as np

import keras_vsoftmax
from keras_vsoftmax.experiments.report import figures
from keras_vsoftmax.experiments.report.tables import interval, paired_difference
from keras_vsoftmax.experiments.scripts.options import positive_int
from keras_vsoftmax.experiments.training.recipes import TITLES
from keras_vsoftmax.retrieval.similarity import class_cosines
from keras_vsoftmax.utils.extras import require
from keras_vsoftmax.utils.files import atomic_path, check_writable

# Margins are blended in within the first half of a run, which has under a thousand steps; the
# published schedule takes tens of thousands.
ANNEALING = {"lambda_gamma": 0.1, "lambda_power": 3.0}


def load_digits():
    """Images in [0, 1] and ids: x_train, y_train, x_test, y_test."""
    require("sklearn", extra="examples", feature="examples/digits.py")
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = (digits.images[..., None] / 16).astype("float32")
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=360, stratify=digits.target, random_state=0
    )
    return x_train, y_train, x_test, y_test


def make_model(head, embedding):
    """A classifier of 8x8 images with an embedding of this length."""
    layers = [keras.Input((8, 8, 1))]
    for filters in (32, 32, "pool", 64, 64, "pool"):
        if filters == "pool":
            layers.append(keras.layers.MaxPooling2D())
            continue
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
        ]
    layers += [keras.layers.Flatten(), keras.layers.Dense(embedding)]
    knobs = ANNEALING if head in ("large_margin", "angular", "angular_normface") else {}
    model = keras_vsoftmax.Classifier(
        keras.Sequential(layers, name="backbone"), keras_vsoftmax.heads.get(head, 10, **knobs)
    )
    model.compile(keras.optimizers.Adam(2e-3), metrics=["accuracy"])
    return model


class EpochTimer(keras.callbacks.Callback):
    """Seconds of each epoch."""

    def on_train_begin(self, logs=None):
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


def train(head, seed, data, epochs, embedding=32):
    """Trains one model; returns it, and its row of the table."""
    x_train, y_train, x_test, y_test = data
    keras.utils.set_random_seed(seed)
    model, timer = make_model(head, embedding), EpochTimer()
    print(f"\n{TITLES[head]}, seed {seed}, embedding of length {embedding}", flush=True)
    model.fit(x_train, y_train, batch_size=64, epochs=epochs, callbacks=[timer])
    accuracy = model.evaluate(x_test, y_test, verbose=0, return_dict=True)["accuracy"]
    intra, nearest_other = class_cosines(model.embed(x_test, verbose=0), y_test)
    row = {
        "error": 100 * (1 - accuracy),
        "intra": intra,
        "nearest_other": nearest_other,
        # The first epoch holds the compilation.
        "seconds": statistics.median(timer.seconds[1:] or timer.seconds),
        "lambda": getattr(model.head, "current_lambda", None),
    }
    return model, row


def table(rows):
    """The table of {head: [row of each seed]} as text."""
    lines = [
        f"{'head':<25}{'test error, %':>16}{'intra-class':>13}{'nearest other':>15}"
        f"{'s/epoch':>9}{'lambda':>9}",
        f"{'':<25}{'mean (spread)':>16}{'cosine':>13}{'class, cosine':>15}{'':>9}{'at end':>9}",
    ]
    for head, seeds in rows.items():
        mean = {
            key: statistics.fmean(row[key] for row in seeds)
            for key in ("error", "intra", "nearest_other", "seconds")
        }
        errors = [row["error"] for row in seeds]
        error = f"{mean['error']:.2f} ({min(errors):.2f}-{max(errors):.2f})"
        annealed = seeds[0]["lambda"]
        lines.append(
            f"{TITLES[head]:<25}{error:>16}{mean['intra']:>13.3f}{mean['nearest_other']:>15.3f}"
            f"{mean['seconds']:>9.2f}{'' if annealed is None else f'{annealed:.3g}':>9}"
        )
    return "\n".join(lines)


def comparisons(rows):
    """Lines with the errors of the other heads minus softmax's, seed by seed."""
    group = {head: dict(enumerate(seeds)) for head, seeds in rows.items()}
    for head, seeds in rows.items():
        difference = paired_difference(group, head, figure=lambda row, _: row["error"])
        if difference is not None:
            yield (
                f"{TITLES[head]} minus {TITLES['softmax']}, paired over {len(seeds)} seeds: "
                f"{interval(difference)} points of error"
            )


def save_load_predict(model, x, y, path):
    """Saves the model, loads it back, and predicts from images alone."""
    with atomic_path(path) as temporary:
        model.save(temporary)
    loaded = keras.saving.load_model(path)
    log_probs = loaded.predict(x, verbose=0)
    difference = np.abs(log_probs - model.predict(x, verbose=0)).max()
    print(f"\nSaved {path}, loaded it back; log-probabilities differ by {difference:.1e} at most.")
    print(f"First test images: predicted {log_probs[:10].argmax(-1)}, labels {y[:10]}")


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = keras_vsoftmax.heads.NAMES
    parser.add_argument(
        "--heads",
        nargs="+",
        choices=[*names, "all"],
        default=["softmax", "virtual"],
        metavar="NAME",
        help=f"heads to compare: all, or of {', '.join(names)} (default: softmax virtual)",
    )
    parser.add_argument(
        "--seeds", nargs="+", type=int, metavar="N", help="seeds (default: 0 1 2; --quick: 0)"
    )
    parser.add_argument(
        "--epochs", type=positive_int, metavar="N", help="epochs a run (default: 30; --quick: 4)"
    )
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        metavar="FOLDER",
        help="where figure and model go (default: runs/digits; --quick: runs/digits-quick)",
    )
    parser.add_argument("--quick", action="store_true", help="one seed and fewer epochs")
    args = parser.parse_args(argv)
    heads = list(names) if "all" in args.heads else list(dict.fromkeys(args.heads))
    seeds = args.seeds or ([0] if args.quick else [0, 1, 2])
    epochs = args.epochs or (4 if args.quick else 30)
    out = args.out or pathlib.Path("runs", "digits-quick" if args.quick else "digits")
    try:
        check_writable(out)
        data = load_digits()
        rows = {head: [] for head in heads}
        for seed in seeds:
            for head in heads:
                model, row = train(head, seed, data, epochs)
                rows[head].append(row)
        panels = {}
        for head in heads[:4]:  # more panels would not be legible
            flat, row = train(head, seeds[0], data, epochs, embedding=2)
            panels[f"{TITLES[head]}, test error {row['error']:.1f}%"] = flat.embed(
                data[2], verbose=0
            )
        figures.features(panels, data[3], out / "features.png")
        print(
            f"\n{len(data[0])} digits to train on, {len(data[2])} to test on, {epochs} epochs. "
            f"One test digit is {100 / len(data[2]):.2f} points of error."
        )
        print(table(rows), *comparisons(rows), sep="\n")
        save_load_predict(model, data[2], data[3], out / "digits.keras")
        print(f"Figure of two-dimensional embeddings: {out / 'features.png'}")
    except (ImportError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
