"""What the scripts share that leave classes out of the training."""

import dataclasses

from keras_vsoftmax.experiments.data import image_sets
from keras_vsoftmax.experiments.data.unseen import leave_out
from keras_vsoftmax.experiments.scripts import options, script


def parse(description, recipe, argv, add_options=lambda parser: None):
    """The parser, the options of all scripts with those about the classes, and the recipe.

    Args:
        description: the script's docstring.
        recipe: a `Recipe`; name, title and data follow the options.
        argv: the command-line arguments, `None` for those of the process.
        add_options: function of the parser that adds a script's own options.

    Returns:
        `(parser, args, recipe)`.
    """
    parser = options.parser(description, recipe)
    parser.add_argument("--set", default="cifar100", metavar="NAME", help="which image set")
    parser.add_argument(
        "--unseen",
        type=options.positive_int,
        default=20,
        metavar="N",
        help="how many classes, the last ones, are left out of training",
    )
    add_options(parser)
    args = parser.parse_args(argv)
    if args.synthetic and args.set not in image_sets.SPECS:
        parser.error(f"--synthetic: knows no images like {args.set}'s")
    named = dataclasses.replace(
        recipe,
        name=f"unseen-{args.unseen}-of-{args.set}",
        title=f"The last {args.unseen} classes of {args.set}, not trained on",
        data=args.set,
    )
    return parser, args, named


def load(recipe, args):
    """The `UnseenSet` that the options name."""
    if args.synthetic or args.set in image_sets.SPECS:
        images = script.image_set(recipe, args)
    else:
        limit = options.QUICK_LIMIT if args.quick else (None, None)
        images = image_sets.load_npz(args.set, args.data_dir, limit)
    return leave_out(images, args.unseen)
