"""What sampling the classes of each step costs in accuracy, on real data, paired by seed.

Each head is trained with all classes, and with a sample of them, once as Partial FC has it and once
with corrected logits. CIFAR100: the first --images training images, a small network, and the test
error. LFW: the people of the first five folds, and the pairs of the other five. A sample has to
hold the labels of a batch, so that the batches of CIFAR100's 100 classes are small.

    python benchmarks/sampled_accuracy.py --data-dir DATA --seeds 0 1 2 3 4 --rates 0.3 --resume
    python benchmarks/sampled_accuracy.py --lfw lfw --pairs pairs.txt --seeds 0 1 2 3 4 \
        --rates 0.1 0.3 --resume

Runs are resumable and made one after another; each is its own folder under --out.
"""

import argparse
import dataclasses
import statistics

from keras_vsoftmax import heads
from keras_vsoftmax.experiments.data import image_sets
from keras_vsoftmax.experiments.data.face_images import read_tree
from keras_vsoftmax.experiments.data.face_sets import FaceSet, FaceTest
from keras_vsoftmax.experiments.report import tables
from keras_vsoftmax.experiments.scripts import options, script
from keras_vsoftmax.experiments.training import recipes, runner
from keras_vsoftmax.verification import DecodedImages, read_lfw_pairs

_FACES = (32, 28, 3)
_WHOLE = "all classes"


def cifar100(args):
    """Recipe, data, and the figures that are read from a record."""
    images = image_sets.load("cifar100", args.data_dir)
    size = args.images
    data = dataclasses.replace(images, x_train=images.x_train[:size], y_train=images.y_train[:size])
    recipe = recipes.Recipe(
        name="cifar100-sampled",
        title="CIFAR100",
        data="cifar100",
        backbone="plain_small",
        batch_size=25,
        learning_rate=0.02,
        width=0.25,
        ending="norm+relu",
        virtual_warmup=recipes.CIFAR100.virtual_warmup,
    ).shortened(args.epochs * (len(data.x_train) // 25))
    figures = {"Test error": lambda record: record["epochs"][-1]["test_error"]}
    return recipe, data, figures


def lfw(args):
    """Recipe, data, and the figures that are read from a record."""
    decoded = DecodedImages(_FACES)
    pairs = read_lfw_pairs(args.pairs)
    people = set(pairs.in_folds([1, 2, 3, 4, 5]).people())
    tests = {"lfw": FaceTest(pairs.without(people), args.lfw, flip=True, decoded=decoded)}
    tree = read_tree(args.lfw, 2, people.__contains__, decoded=decoded)
    recipe = dataclasses.replace(
        recipes.LFW_FOLDS, name="lfw-sampled", title="LFW's people", backbone="sphereface4"
    )
    epochs = recipe.iterations // (len(tree.images) // recipe.batch_size)
    recipe = recipe.shortened(epochs * (len(tree.images) // recipe.batch_size))
    figures = {
        "Accuracy": lambda record: record["verification"]["lfw"]["accuracy"],
        "AUC": lambda record: 100 * record["verification"]["lfw"]["auc"],
        "TAR at FAR 0.01": lambda record: record["verification"]["lfw"]["tar_at_far"]["0.01"],
    }
    return recipe, FaceSet(tree, _FACES, tests, decoded=decoded), figures


def cases(rates):
    """What is sampled, in words, and the arguments of the head."""
    made = {_WHOLE: {}}
    for rate in rates:
        made[f"{rate:g} of them"] = {"class_sampling": rate}
        made[f"{rate:g}, corrected"] = {"class_sampling": rate, "sampling_correction": True}
    return made


def table(head, runs, figures):
    """Rows of a table: the means of each case, and the differences to all classes."""
    rows = []
    for case, records in runs.items():
        cells = []
        for get in figures.values():
            difference = tables.paired_difference(
                runs, case, baseline=_WHOLE, figure=lambda record, _, get=get: get(record)
            )
            average = f"{statistics.fmean(map(get, records.values())):.2f}"
            cells.append(" ".join(filter(None, [average, tables.interval(difference)])))
        rows.append([heads.find(head).title, case, str(len(records)), *cells])
    return rows


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-dir", type=options.folder, default="~/tensorflow_datasets")
    parser.add_argument("--images", type=options.positive_int, default=10_000, help="of CIFAR100")
    parser.add_argument("--epochs", type=options.positive_int, default=10, help="on CIFAR100")
    parser.add_argument("--lfw", type=options.folder, help="LFW's images, in the place of CIFAR100")
    parser.add_argument("--pairs", type=options.folder, help="LFW's pairs.txt")
    parser.add_argument("--heads", nargs="+", default=["virtual", "arcface"])
    parser.add_argument("--rates", nargs="+", type=float, default=[0.3])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=options.folder, default="runs/sampled")
    parser.add_argument(
        "--resume", action="store_true", help="keep complete runs, go on with others"
    )
    args = parser.parse_args(argv)
    if (args.lfw is None) != (args.pairs is None):
        parser.error("--lfw and --pairs belong together")
    with script.one_line_errors(parser.prog):
        recipe, data, figures = (cifar100 if args.lfw is None else lfw)(args)
        runs = {}
        for seed in args.seeds:
            for head in args.heads:
                for case, knobs in cases(args.rates).items():
                    variant = case.replace(" ", "-").replace(",", "")
                    run = runner.Run(recipe, head, seed, args.out, variant, knobs)
                    record = runner.train(run, data, resume=args.resume)
                    runs.setdefault(head, {}).setdefault(case, {})[seed] = record
    rows = [["Head", "Classes of a step", "Seeds", *figures]]
    for head, by_case in runs.items():
        rows += table(head, by_case, figures)
    print("\n".join(tables.rows(rows)))


if __name__ == "__main__":
    main()
