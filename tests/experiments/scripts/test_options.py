import pytest

from keras_vsoftmax import heads
from keras_vsoftmax.experiments.scripts import options
from keras_vsoftmax.experiments.training import recipes


def _parse(*argv):
    return options.parser("Text.", recipes.MNIST).parse_args(argv)


def test_the_recipe_stands_where_nothing_is_said():
    recipe = options.resolve(recipes.MNIST, _parse(), samples=60_000)
    assert recipe.iterations == 77 * 234  # whole epochs nearest to 18,000
    assert recipe.drops == (12_012, 15_015)
    assert (recipe.batch_size, recipe.width, recipe.learning_rate) == (256, 1.0, 0.1)


def test_options_override_the_recipe():
    args = _parse(
        *["--epochs", "3", "--batch-size", "100", "--learning-rate", "0.05", "--width", "0.5"],
        *["--backbone", "resnet110", "--precision", "mixed_bfloat16", "--disturb-label", "0.1"],
        *["--virtual-warmup", "0.25", "--virtual-strength", "0.5"],
    )
    recipe = options.resolve(recipes.MNIST, args, samples=1_000)
    assert recipe.iterations == 30
    assert recipe.drops == (20, 25)
    assert (recipe.batch_size, recipe.learning_rate, recipe.width) == (100, 0.05, 0.5)
    assert (recipe.backbone, recipe.precision) == ("resnet110", "mixed_bfloat16")
    assert recipe.disturb_label == 0.1
    assert (recipe.virtual_warmup, recipe.virtual_strength) == (0.25, 0.5)


def test_iterations_become_whole_epochs():
    assert options.resolve(recipes.MNIST, _parse("--iterations", "1000"), 60_000).iterations == 936
    assert options.resolve(recipes.MNIST, _parse("--iterations", "1"), 60_000).iterations == 234


def test_quick_gives_way_to_what_is_said():
    recipe = options.resolve(recipes.MNIST, _parse("--quick", "--width", "0.25"), 1024)
    assert recipe.width == 0.25
    assert recipe.iterations <= 64


def test_batch_is_at_most_the_set():
    assert options.resolve(recipes.MNIST, _parse("--epochs", "2"), 100).iterations == 2


def test_heads():
    assert options.chosen_heads(_parse()) == ["softmax", "virtual"]
    assert options.chosen_heads(_parse("--heads", "virtual", "noisy", "virtual")) == [
        "virtual",
        "noisy",
    ]
    assert options.chosen_heads(_parse("--heads", "all")) == list(heads.NAMES)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--heads", "sphere"], "invalid choice: 'sphere'"),
        (["--seeds", "-1"], "--seeds: must be an integer of at least 0. Received: -1"),
        (["--epochs", "0"], "--epochs: must be a positive integer. Received: 0"),
        (["--epochs", "2", "--iterations", "5"], "not allowed with"),
        (["--width", "nan"], "--width: must be a positive number. Received: nan"),
        (["--learning-rate", "x"], "--learning-rate: must be a positive number. Received: x"),
        (["--disturb-label", "1.5"], "--disturb-label: must be a share from 0 to 1. Received: 1.5"),
        (["--backbone", "vgg"], "invalid choice: 'vgg'"),
        (["--precision", "float8"], "invalid choice: 'float8'"),
        (["--strategy", "tpu"], "invalid choice: 'tpu'"),
    ],
)
def test_errors_are_argparse_errors(argv, message, capsys):
    with pytest.raises(SystemExit) as caught:
        _parse(*argv)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_help_names_every_default():
    text = " ".join(options.parser("Text.", recipes.CIFAR100).format_help().split())
    for part in (
        "the recipe's, 30000",
        "the recipe's, 256",
        "the recipe's, 0.1",
        "the recipe's, plain_cifar100",
        "(default: ['softmax', 'virtual'])",
        "(default: [0])",
        "(default: auto)",
        "(default: runs)",
    ):
        assert part in text
