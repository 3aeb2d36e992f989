"""Face verification on LFW and SLLFW: accuracy in %, published beside yours.

    LFW    softmax 99.10  noisy 99.16  large_margin 99.37  angular_normface 99.57  virtual 99.46
    SLLFW  softmax 94.59  noisy 94.75  large_margin 95.58  angular_normface 96.45  virtual 95.85

Recipe: SphereFace's 20-layer network on 112x96 crops, SGD with momentum 0.9, batch 256, rate 0.1
divided by ten at 16,000 and 24,000 of 28,000 steps, L2 of 2.5e-4 on every kernel; mirrored images
half of the time. The poster does not say what its models were trained on.

Train on a folder of faces, PERSON/IMAGE.jpg, such as CASIA-WebFace; whoever is in the pairs by
name is not trained on (where folders are numbered, take LFW's people out yourself). --lfw holds
LFW's images, cropped in the same way:

    python examples/lfw.py --faces casia --lfw lfw --pairs pairs.txt --sllfw pair_SLLFW.txt

Without a training set: train on the people of some of LFW's folds and verify on the others, with a
recipe of our own (a quarter of the width, batch 64, rate 0.02, 1,500 steps). That compares heads
with each other, not with the published figures:

    python examples/lfw.py --folds 1 2 3 4 5 --lfw lfw --pairs pairs.txt --image-size 56 48

Verify a model that was saved before:

    python examples/lfw.py --model last.keras --lfw lfw --pairs pairs.txt

LFW's View 1, for development: a list of one fold, and the threshold from another list:

    python examples/lfw.py --model last.keras --lfw lfw --pairs pairsDevTest.txt \
        --threshold-pairs pairsDevTrain.txt

The figures are OUT/roc-lfw.png and OUT/scores-lfw.png, and the same for sllfw.
"""

import dataclasses

from keras_vsoftmax.experiments.data.face_images import read_tree
from keras_vsoftmax.experiments.data.face_sets import FaceSet
from keras_vsoftmax.experiments.scripts import face_script, options, script
from keras_vsoftmax.experiments.training import recipes
from keras_vsoftmax.verification import DecodedImages, read_lfw_pairs, read_sllfw_pairs


def read_tests(args):
    """The tests by name, and the people of `--folds`, whom no test names."""
    pairs = {"lfw": face_script.read_pairs(read_lfw_pairs, args.pairs)}
    threshold_pairs = args.threshold_pairs and face_script.read_pairs(
        read_lfw_pairs, args.threshold_pairs
    )
    if args.sllfw is not None:
        pairs["sllfw"] = face_script.read_pairs(read_sllfw_pairs, args.sllfw)
    people = set()
    if args.folds:
        people = face_script.people_of_folds(pairs["lfw"], args.folds)
        pairs = {name: those.without(people) for name, those in pairs.items()}
        threshold_pairs = threshold_pairs and threshold_pairs.without(people)
    missing = "skip" if args.skip_missing else "error"
    decoded = DecodedImages((*args.image_size, 3))
    tests = {
        name: face_script.face_test(those, args.lfw, args, decoded, missing, threshold_pairs)
        for name, those in pairs.items()
    }
    return tests, people


def load(recipe, args):
    tests, people = read_tests(args)
    root, keep = args.lfw, people.__contains__
    if args.faces is not None:
        tested = set().union(*(test.people() for test in tests.values()))
        root, keep = args.faces, lambda name: name not in tested
    most = face_script.QUICK_PEOPLE if args.quick else None
    decoded = tests["lfw"].decoded if args.folds else None  # a training set may be large
    tree = read_tree(root, args.min_images, keep, most, decoded=decoded)
    data = FaceSet(tree, (*args.image_size, 3), tests, decoded=decoded)
    print(data)
    return data


def main(argv=None):
    parser = face_script.parser(__doc__, recipes.FACES, image_size=(112, 96))
    source = face_script.add_training_people(parser, "verify on the other folds")
    source.add_argument(
        "--model", type=options.folder, metavar="FILE", help="only verify this .keras file"
    )
    parser.add_argument(
        "--lfw",
        type=options.folder,
        required=True,
        metavar="DIR",
        help="LFW's images, PERSON/IMAGE.jpg",
    )
    parser.add_argument(
        "--pairs", type=options.folder, required=True, metavar="FILE", help="LFW's pairs.txt"
    )
    parser.add_argument(
        "--threshold-pairs",
        type=options.folder,
        metavar="FILE",
        help="choose the threshold on these pairs, such as pairsDevTrain.txt, and judge with it",
    )
    parser.add_argument("--sllfw", type=options.folder, metavar="FILE", help="pair_SLLFW.txt")
    parser.add_argument(
        "--skip-missing", action="store_true", help="leave out and count pairs without an image"
    )
    args = parser.parse_args(argv)
    with script.one_line_errors(parser.prog):
        if args.model is not None:
            face_script.verify_model(args.model, read_tests(args)[0])
            return
        recipe = recipes.FACES
        if args.folds:
            name = "-".join(["lfw-folds", *map(str, sorted(set(args.folds)))])
            recipe = dataclasses.replace(recipes.LFW_FOLDS, name=name)
        trained = script.train(recipe, args, load)
        if trained.chief:
            script.show(trained.results, face_script.draw(trained.results, args))


if __name__ == "__main__":
    main()
