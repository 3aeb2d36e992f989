"""2-D features of the MNIST test set, one panel a head, as in the poster's figure.

Published: the features of a class lie on a ray, narrower with Virtual Softmax than with Softmax.

Recipe: 5x5 convolutions (32x2, 64x2, 128x2), embedding of length 2, the rest as in mnist.py.

    python examples/mnist_features.py --epochs 10
    python examples/mnist_features.py --quick

The figure is OUT/features.png.
"""

import keras

from keras_vsoftmax.experiments import figures, options, recipes, records, script


def main(argv=None):
    parser = options.parser(__doc__, recipes.MNIST_2D)
    args = parser.parse_args(argv)
    with script.one_line_errors(parser.prog):
        images, results = script.train(recipes.MNIST_2D, args)
        panels = {}
        for run, record in results:
            model = keras.saving.load_model(run.last_model)
            title = f"{recipes.TITLES[run.head]}, test error {records.last(record):.2f}%"
            panels[title] = model.embed(images.x_test, verbose=0)
        figures.features(panels, images.y_test, args.out / "features.png")
        script.show(results, args.out / "features.png")


if __name__ == "__main__":
    main()
