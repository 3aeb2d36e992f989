"""Retrieval among classes that were not trained on: the others of CIFAR100, or of any set.

Trains on the first 80 classes of CIFAR100 and searches among the test images of the last 20, each
in turn among the others: recall@K, R-precision, MAP@R, MRR, whether one cosine separates same from
different (pair AUC), and whether clusters are classes (NMI, AMI). The test error in the table is
that of the classes that were trained on.

Nothing was published about this. Recipe: that of cifar100.py.

    python examples/unseen_classes.py --heads softmax virtual arcface --seeds 0 1 2
    python examples/unseen_classes.py --set birds --data-dir sets --unseen 100
    python examples/unseen_classes.py --quick

--set NAME takes DIR/NAME.npz (x_train, y_train, x_test, y_test as in keras.datasets), whatever the
shape of its images and the number of its classes; the last --unseen of them are left out. Two
cores train a small network in a minute or two a head:

    python examples/unseen_classes.py --backbone plain_small --width 0.25 --batch-size 64 \
        --learning-rate 0.05 --epochs 5
"""

from keras_vsoftmax.experiments.scripts import script, unseen_script
from keras_vsoftmax.experiments.training import recipes


def main(argv=None):
    parser, args, recipe = unseen_script.parse(__doc__, recipes.CIFAR100, argv)
    with script.one_line_errors(parser.prog):
        script.show(script.train(recipe, args, unseen_script.load).results)


if __name__ == "__main__":
    main()
