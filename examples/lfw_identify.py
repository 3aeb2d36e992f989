"""Enrol and identify LFW's people, with strangers among them.

Trains on the people of some of LFW's folds, or on a folder of other faces, and identifies the rest
of LFW: of a person with enough images the first is enrolled and the others are queries; a person
with fewer is a stranger. Half of the strangers choose a threshold for the false-accept rate --far,
the other half show whether it is kept. With --folds the pairs of the other folds are verified by
the same model, as lfw.py does. Nothing was published about this.

Recipes: those of lfw.py.

    python examples/lfw_identify.py --folds 1 2 3 4 5 --lfw lfw --pairs pairs.txt \
        --image-size 56 48
    python examples/lfw_identify.py --faces casia --lfw lfw --enroll 2
    python examples/lfw_identify.py --folds 1 2 --lfw lfw --pairs pairs.txt --quick
"""

import dataclasses

from keras_vsoftmax.experiments.data.face_gallery import FaceGallerySet
from keras_vsoftmax.experiments.data.face_images import read_tree
from keras_vsoftmax.experiments.scripts import face_script, options, script
from keras_vsoftmax.experiments.training import recipes
from keras_vsoftmax.verification import DecodedImages, read_lfw_pairs


def load(recipe, args):
    trained, tests = set(), {}
    shape = (*args.image_size, 3)
    decoded = DecodedImages(shape)  # LFW's images, and not those of a large training set
    if args.folds:
        pairs = face_script.read_pairs(read_lfw_pairs, args.pairs)
        trained = face_script.people_of_folds(pairs, args.folds)
        rest = pairs.without(trained)
        tests = {"lfw": face_script.face_test(rest, args.lfw, args, decoded)}
    most = face_script.QUICK_PEOPLE if args.quick else None
    others = read_tree(
        args.lfw, keep=lambda name: name not in trained, most=most and 5 * most, decoded=decoded
    )
    if args.folds:
        tree = read_tree(args.lfw, args.min_images, trained.__contains__, most, decoded=decoded)
    else:
        known = set(others.people)
        tree = read_tree(args.faces, args.min_images, lambda name: name not in known, most)
    data = FaceGallerySet(
        tree, shape, tests, others, args.enroll, args.far, args.flip, decoded=decoded
    )
    print(data)
    return data


def main(argv=None):
    parser = face_script.parser(__doc__, recipes.FACES, image_size=(112, 96))
    face_script.add_training_people(parser, "identify all others")
    parser.add_argument(
        "--lfw", type=options.folder, required=True, metavar="DIR", help="PERSON/IMAGE.jpg"
    )
    parser.add_argument("--pairs", type=options.folder, metavar="FILE", help="LFW's pairs.txt")
    parser.add_argument(
        "--enroll", type=options.positive_int, default=1, metavar="N", help="images of a person"
    )
    parser.add_argument(
        "--far", type=float, default=0.01, metavar="RATE", help="wanted false-accept rate"
    )
    args = parser.parse_args(argv)
    if args.folds and args.pairs is None:
        parser.error("--folds: needs --pairs, which says whose folds they are")
    if not 0 < args.far <= 1:
        parser.error(f"--far: must be over 0 and at most 1. Received: {args.far}")
    recipe = recipes.FACES
    if args.folds:
        recipe = recipes.LFW_FOLDS
    name = "-".join(["lfw-identify", *map(str, sorted(set(args.folds or [])))])
    recipe = dataclasses.replace(recipe, name=name, title="LFW's people")
    with script.one_line_errors(parser.prog):
        script.show(script.train(recipe, args, load).results)


if __name__ == "__main__":
    main()
