"""Which head, with which margin, on CIFAR100? A search over the recipe of the published table.

Network, optimiser, length and falls of the rate are those of `cifar100.py`, its options as well;
another `--backbone` is trained by the same recipe. Searched are the head and its
knobs, the length of the embedding, the rate, and the L2 of every kernel, the head's included; the
last tenth of the training images tells which trial is best. Then the winner and plain softmax are
trained anew on all training images, seed by seed, and tested on the test images.

    python examples/tune_cifar100.py --heads softmax virtual arcface --seeds 0 1 2
    python examples/tune_cifar100.py --tuner RandomSearch --trials 30 --epochs 20
    python examples/tune_cifar100.py --quick

With --resume a search that was stopped goes on where it was.
"""

import dataclasses
import functools

import keras

from keras_vsoftmax import backbones, tuning
from keras_vsoftmax.experiments.scripts import options, script, search
from keras_vsoftmax.experiments.training import environment, recipes
from keras_vsoftmax.experiments.training.optimizers import make_optimizer


def make_space(recipe, images, heads, seed, synchronized):
    """The search space around a recipe; `synchronized` as for `backbones.get`."""
    # The other networks' embedding is as wide as their last layer.
    has_embedding = recipe.backbone.startswith("plain") and recipe.ending != "average"

    def l2(hp):
        return hp.Float("l2", 2.5e-5, 1e-3, sampling="log", default=recipe.l2)

    def backbone(hp):
        knobs = recipe.backbone_knobs
        if has_embedding:
            knobs["embedding"] = hp.Choice("embedding", [512, 256])
        return backbones.get(
            recipe.backbone, images.shape, recipe.width, l2(hp), synchronized, **knobs
        )

    def head_arguments(hp):
        regularizer = keras.regularizers.L2(l2(hp))
        knobs = recipes.head_knobs(hp["head"], recipe)
        return {"kernel_regularizer": regularizer, **knobs}

    return tuning.HeadHyperModel(
        backbone,
        images.classes,
        heads=heads,
        optimizer=functools.partial(make_optimizer, recipe),
        head_arguments=head_arguments,
        seed=seed,
        embedding=None,
        learning_rate=(recipe.learning_rate / 10, recipe.learning_rate * 2),
        weight_decay=None,
        batch_size=recipe.batch_size,
    )


def run(args):
    recipe = recipes.CIFAR100
    strategy, images = script.prepare(recipe, args)
    heads = options.chosen_heads(args)
    x, y = images.x_train, images.y_train
    held_out = len(x) // 10
    recipe = options.resolve(recipe, args, len(x) - held_out)
    keras.config.set_dtype_policy(recipe.precision)
    environment.deterministic()

    name = f"tune-cifar100-{args.tuner}" + "-quick" * args.quick + "-synthetic" * args.synthetic
    steps = (len(x) - held_out) // recipe.batch_size
    epochs = recipe.iterations // steps
    tuner = search.make_tuner(
        args.tuner,
        make_space(recipe, images, heads, args.seeds[0], strategy is not None),
        args.trials,
        epochs,
        identity={
            "heads": sorted(heads),
            "seed": args.seeds[0],
            "recipe": dataclasses.asdict(recipe),
            "data": images.identity(),
        },
        directory=args.out,
        project_name=name,
        overwrite=not args.resume,
        distribution_strategy=strategy,
    )
    used = steps * recipe.batch_size  # whole batches, as the replicas of a strategy need them
    tuner.search(
        x[:used],
        y[:used],
        validation_data=(x[-held_out:], y[-held_out:]),
        epochs=epochs,
        verbose=2,
    )
    if tuner.is_worker:
        return

    recipe = options.resolve(recipes.CIFAR100, args, len(x))
    steps = len(x) // recipe.batch_size
    used = steps * recipe.batch_size
    search.conclude(
        tuner,
        lambda seed: make_space(recipe, images, heads, seed, strategy is not None),
        (x[:used], y[:used]),
        (images.x_test, images.y_test),
        args.seeds,
        args.out / f"{name}.keras",
        strategy=strategy,
        epochs=recipe.iterations // steps,
        verbose=2,
    )


def main(argv=None):
    parser = options.parser(__doc__, recipes.CIFAR100, heads_default=["all"])
    parser.add_argument("--tuner", choices=search.TUNERS, default="Hyperband")
    parser.add_argument("--trials", type=int, default=20, help="but for Hyperband")
    args = parser.parse_args(argv)
    if getattr(args, "disturb_label", 0):
        parser.error("--disturb-label: a search trains on the labels as they are")
    if args.quick:
        args.trials = min(args.trials, 3)
    with script.one_line_errors(parser.prog):
        run(args)


if __name__ == "__main__":
    main()
