"""Look at an embedding of classes that were not trained on: a map, a strip, the projector.

Trains like unseen_classes.py, or with --resume takes the runs that are there, and shows for each:

- OUT/map-HEAD-seedN.png: thumbnails of unseen images at the places of their embeddings, by PCA or
  t-SNE, framed in the colour of their class;
- OUT/strip-HEAD-seedN.png: a query of each class, and its nearest images, right ones framed green,
  wrong ones red;
- TensorBoard's projector with the same thumbnails: tensorboard --logdir RUN/tensorboard, where the
  script prints RUN.

    python examples/embedding_map.py --method tsne --images 600
    python examples/embedding_map.py --heads virtual --resume --out runs
    python examples/embedding_map.py --quick
"""

import keras
import numpy as np

from keras_vsoftmax import retrieval
from keras_vsoftmax.experiments.report import embedding_figures
from keras_vsoftmax.experiments.scripts import options, script, unseen_script
from keras_vsoftmax.experiments.training import recipes

# Columns and rows of the strip.
NEIGHBOURS, QUERIES = 9, 10


def add_options(parser):
    parser.add_argument("--method", choices=embedding_figures.METHODS, default="tsne")
    parser.add_argument(
        "--images", type=options.positive_int, default=500, metavar="N", help="on the map"
    )


def load(recipe, args):
    data = unseen_script.load(recipe, args)
    embedding_figures.check(min(args.images, len(data.x_unseen)), data.shape)
    return data


def show(run, data, args):
    """Draw and write everything about a run; the paths as lines."""
    model = keras.saving.load_model(run.last_model)
    images, labels = data.x_unseen, data.y_unseen
    embeddings = retrieval.embed(model, images)
    name = f"{run.head}-seed{run.seed}"
    title = f"{recipes.TITLES[run.head]}, seed {run.seed}: {run.recipe.title}"

    queries = [np.flatnonzero(labels == label)[0] for label in np.unique(labels)][:QUERIES]
    # The nearest of all is the query itself, or its equal.
    found, _ = retrieval.nearest(embeddings[queries], embeddings, min(len(images), NEIGHBOURS + 1))
    found = np.array([row[row != query][:NEIGHBOURS] for row, query in zip(found, queries)])
    strip = script.figure_path(args, f"strip-{name}")
    embedding_figures.strip(images, labels, queries, found, title, strip)

    few = np.random.default_rng(0).permutation(len(images))[: args.images]
    points = embedding_figures.positions(embeddings[few], args.method)
    drawn = script.figure_path(args, f"map-{name}")
    embedding_figures.thumbnails(points, images[few], labels[few], title, drawn)

    folder = run.folder / "tensorboard"
    embedding_figures.projector(embeddings[few], images[few], labels[few], folder)
    return f"Map: {drawn}\nStrip: {strip}\nProjector: tensorboard --logdir {folder}"


def main(argv=None):
    parser, args, recipe = unseen_script.parse(__doc__, recipes.CIFAR100, argv, add_options)
    with script.one_line_errors(parser.prog):
        trained = script.train(recipe, args, load)
        script.show(trained.results)
        if trained.chief:
            for run, _ in trained.results:
                print(show(run, trained.data, args))


if __name__ == "__main__":
    main()
