"""Face verification in small: ORL, 40 people with 10 grey images each.

Trains on 30 people and verifies on pairs of the other 10: all 450 matched ones and as many of two
people, dealt into ten folds, each of which meets the threshold that is best on the others. ORL
(AT&T Laboratories Cambridge) comes as s1/1.pgm to s40/10.pgm; any PERSON/IMAGE tree will do.

Recipe: SphereFace's 20-layer network at a quarter of its width on 56x48 images, which two cores
train in a minute a head.

    python examples/faces_orl.py --faces orl_faces --seeds 0 1 2
    python examples/faces_orl.py --faces orl_faces --quick

The figures are OUT/roc-orl.png and OUT/scores-orl.png.
"""

import numpy as np

from keras_vsoftmax.experiments.data.face_images import read_tree
from keras_vsoftmax.experiments.data.face_sets import FaceSet
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.scripts import face_script, options, script
from keras_vsoftmax.experiments.training import recipes
from keras_vsoftmax.verification import DecodedImages, make_pairs
from keras_vsoftmax.verification.pairs import person_of

TEST_PEOPLE = 10
FOLDS = 10


def load(recipe, args):
    shape = (*args.image_size, 1)
    decoded = DecodedImages(shape)
    everyone = read_tree(args.faces, args.min_images, decoded=decoded)
    # The same people for every seed, so that runs can be compared.
    if len(everyone.people) < TEST_PEOPLE + 2:
        raise ExperimentError(
            f"{args.faces}: must hold {TEST_PEOPLE} people to verify on and two to train on. "
            f"Received: {len(everyone.people)} people with images enough"
        )
    drawn = np.random.default_rng(0).permutation(everyone.people)
    test_people = set(drawn[:TEST_PEOPLE].tolist())
    test = [image for image in everyone.images if person_of(image) in test_people]
    try:
        pairs = make_pairs(test, FOLDS, disjoint=False)
    except ValueError as error:
        raise ExperimentError(f"{args.faces}: {error}") from error
    tests = {"orl": face_script.face_test(pairs, args.faces, args, decoded)}
    data = FaceSet(everyone.without(test_people), shape, tests, decoded=decoded)
    print(data)
    return data


def main(argv=None):
    parser = face_script.parser(__doc__, recipes.ORL, image_size=(56, 48))
    parser.add_argument(
        "--faces", type=options.folder, required=True, metavar="DIR", help="folder of s1 to s40"
    )
    args = parser.parse_args(argv)
    with script.one_line_errors(parser.prog):
        trained = script.train(recipes.ORL, args, load)
        if trained.chief:
            script.show(trained.results, face_script.draw(trained.results, args))


if __name__ == "__main__":
    main()
