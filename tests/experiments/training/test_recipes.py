import dataclasses
import importlib.util
import pathlib
import re

import pytest

from keras_vsoftmax import backbones, heads
from keras_vsoftmax.experiments.data import image_sets as data
from keras_vsoftmax.experiments.report import published
from keras_vsoftmax.experiments.training import recipes

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples"
ALL = [value for value in vars(recipes).values() if isinstance(value, recipes.Recipe)]


@pytest.mark.parametrize("recipe", ALL, ids=lambda recipe: recipe.name)
def test_recipes_name_what_exists(recipe):
    assert recipe.data in {*data.SPECS, "faces"}  # whose folder is an option
    assert recipe.backbone in backbones.NAMES
    assert 0 < recipe.drops[0] < recipe.drops[1] < recipe.iterations
    assert recipe.shortened(recipe.iterations) == recipe


def test_heads_have_titles_and_knobs():
    assert set(recipes.TITLES) == set(heads.NAMES)
    for head in heads.NAMES:
        heads.get(head, 10, **recipes.head_knobs(head, recipes.MNIST.shortened(100)))
    # The whole recipe is annealed as the heads are by default; a short one goes as far.
    assert recipes.head_knobs("angular", recipes.MNIST)["lambda_gamma"] == pytest.approx(0.12)
    assert recipes.head_knobs("angular", recipes.MNIST.shortened(180))[
        "lambda_gamma"
    ] == pytest.approx(12)


def test_a_warm_up_goes_with_the_length_of_the_run():
    recipe = dataclasses.replace(recipes.CIFAR100_RESNET18, virtual_warmup=0.25)
    short = recipe.shortened(7_800)
    assert (short.rate_warmup, short.drops) == (195, (3_900, 5_850))
    for head in ("virtual", "synthetic_virtual"):
        assert recipes.head_knobs(head, short) == {"warmup_steps": 1_950}
    assert recipes.head_knobs("softmax", short) == {}
    half = dataclasses.replace(short, virtual_strength=0.5)
    assert recipes.head_knobs("virtual", half) == {"warmup_steps": 1_950, "strength": 0.5}
    assert recipes.head_knobs("virtual", recipes.CIFAR100_RESNET18) == {}


def test_a_recipe_names_what_it_changes_in_the_backbone():
    recipe = dataclasses.replace(recipes.MNIST, ending="norm+relu", embedding=16)
    backbone = backbones.get("plain_mnist", (28, 28, 1), 0.1, **recipe.backbone_knobs)
    assert backbone.output_shape == (None, 16)
    assert recipes.IMAGENET32.backbone_knobs == {}


SCRIPTS = {
    "mnist": ["mnist"],
    "svhn": ["svhn"],
    "cifar10": ["cifar10"],
    "cifar100": ["cifar100", "cifar100+"],
    "imagenet32": ["imagenet32"],
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_start_with_the_published_figures(script):
    path = EXAMPLES / f"{script}.py"
    spec = importlib.util.spec_from_file_location(script, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    told = dict.fromkeys(heads.NAMES, ())
    for head, figure in re.findall(r"(\w+) +(\d+\.\d+)", module.__doc__):
        if head in told:
            told[head] += (float(figure),)
    tables = [published.OWN_RUNS[name] for name in SCRIPTS[script]]
    if script == "imagenet32":  # given as accuracy, first top-1, then top-5
        tables = [published.OWN_RUNS[script], published.TOP5[script]]
        tables = [{head: round(100 - x, 2) for head, x in table.items()} for table in tables]
    for head in tables[0]:
        assert told[head] == tuple(table[head] for table in tables)
    assert f"python examples/{script}.py --quick" in module.__doc__
    assert len(path.read_text().splitlines()) <= 45  # one screen


@pytest.mark.parametrize("backbone", ["acu", "acu_plain"])
def test_positions_rest_for_the_same_share_of_every_run(backbone):
    recipe = dataclasses.replace(recipes.CIFAR10, backbone=backbone).shortened(640)
    assert recipe.backbone_knobs == {"warmup": 100}
    assert recipes.CIFAR10.backbone_knobs == {}
