"""2-D features of the MNIST test set, one panel a head, as in the poster's figure.

Published: the features of a class lie on a ray, narrower with Virtual Softmax than with Softmax.

Recipe: 5x5 convolutions (32x2, 64x2, 128x2), embedding of length 2, the rest as in mnist.py.

    python examples/mnist_features.py --epochs 10
    python examples/mnist_features.py --quick

The figure is OUT/features.png.
"""

import keras

from keras_vsoftmax.experiments.report import figures
from keras_vsoftmax.experiments.scripts import options, script
from keras_vsoftmax.experiments.training import recipes, records


def main(argv=None):
    parser = options.parser(__doc__, recipes.MNIST_2D)
    args = parser.parse_args(argv)
    if getattr(args, "backbone", recipes.MNIST_2D.backbone) != recipes.MNIST_2D.backbone:
        parser.error(f"--backbone: only plain_2d has features of length 2, not {args.backbone}")
    with script.one_line_errors(parser.prog):
        trained = script.train(recipes.MNIST_2D, args)
        if trained.chief:
            path = script.figure_path(args, "features")
            draw(trained, path)
            script.show(trained.results, path)


def draw(trained, path):
    panels = {}
    for run, record in trained.results:
        model = keras.saving.load_model(run.last_model)
        title = f"{recipes.TITLES[run.head]}, seed {run.seed}, error {records.last(record):.2f}%"
        panels[title] = model.embed(trained.data.x_test, verbose=0)
    figures.features(panels, trained.data.y_test, path)


if __name__ == "__main__":
    main()
