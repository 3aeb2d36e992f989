"""Private names of Keras and of Keras Tuner stand behind their doors and nowhere else."""

import ast
import inspect
import pathlib

import keras
import numpy as np
import pytest

from tests import snippets

KERAS_DOOR = "keras_vsoftmax/keras_gaps/"
TUNER_DOOR = "keras_vsoftmax/tuning/keras_tuner_gaps.py"
# Public in their spelling, but in no documentation.
UNDOCUMENTED = {"jax_state_sync", "inactive_scopes"}


def private(objects):
    return {
        name
        for item in objects
        for name in dir(item)
        if name.startswith("_") and not name.startswith("__")
    }


@pytest.fixture(scope="module")
def of_keras(tmp_path_factory):
    """The private names of what the package builds upon."""
    folder = tmp_path_factory.mktemp("keras")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", metrics=["mae"], run_eagerly=True)
    model.fit(np.ones((2, 2)), np.ones((2, 1)), verbose=0)
    return private(
        [
            *(model, keras.Model, model.layers[0], model.inputs[0], model.layers[0].kernel),
            *(model.optimizer, keras.losses.MeanSquaredError(), keras.metrics.Mean()),
            *(keras.callbacks.Callback(), keras.callbacks.BackupAndRestore(str(folder))),
            *(keras.utils.PyDataset(), keras.random.SeedGenerator(1)),
        ]
    ) | {"_keras_logits", "_keras_mask"}


@pytest.fixture(scope="module")
def of_keras_tuner():
    keras_tuner = pytest.importorskip("keras_tuner")
    oracles = keras_tuner.oracles
    made = [
        oracle(objective="val_accuracy")
        for oracle in (oracles.GridSearchOracle, oracles.BayesianOptimizationOracle)
    ]
    return private([*made, keras_tuner.Tuner, keras_tuner.Hyperband, keras_tuner.HyperParameters()])


def sources(*folders):
    for folder in folders:
        for path in sorted((snippets.ROOT / folder).rglob("*.py")):
            yield path.relative_to(snippets.ROOT).as_posix(), ast.parse(path.read_text())


def names(tree):
    """Attributes that are read or set, methods that are defined, and names that are text."""
    methods = [
        method
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for method in node.body
        if isinstance(method, ast.FunctionDef)
    ]
    for node in [*ast.walk(tree), *methods]:
        if isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.FunctionDef) and node in methods:
            yield node.name, node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node.lineno


def own(tree):
    """Private names that a class without a base gives to itself: no one else's."""
    plain = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and not node.bases]
    return {
        node.attr
        for cls in plain
        for node in ast.walk(cls)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
        and isinstance(node.ctx, ast.Store)
    }


def found(tree, known):
    mine = own(tree)
    return {
        (name, line)
        for name, line in names(tree)
        if (name in known and name not in mine) or name in UNDOCUMENTED
    }


def hidden_modules(tree):
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        elif isinstance(node, ast.Attribute):
            modules = [ast.unparse(node)]
        for module in modules:
            if module.startswith(("keras.src", "keras_tuner.src")):
                yield module, node.lineno


def test_private_names_of_keras_stand_in_the_one_door(of_keras):
    outside = {
        path: found(tree, of_keras) | set(hidden_modules(tree))
        for path, tree in sources("keras_vsoftmax", "examples", "benchmarks")
        if not path.startswith(KERAS_DOOR) and path != TUNER_DOOR
    }
    assert {path: hits for path, hits in outside.items() if hits} == {}


def test_private_names_of_keras_tuner_stand_in_the_one_door(of_keras_tuner):
    outside = {
        path: found(tree, of_keras_tuner)
        for path, tree in sources("keras_vsoftmax/tuning")
        if path != TUNER_DOOR
    }
    assert {path: hits for path, hits in outside.items() if hits} == {}


def test_the_search_finds_what_it_is_for(of_keras):
    """What stood outside the door once."""
    code = """
import keras
from keras.src.backend.common.masking import set_keras_mask


class Own(keras.Model):
    def _maybe_symbolic_build(self, data_batch=None):
        self.jax_state_sync()
        return [self._flatten_layers(), getattr(self, "_distribute_strategy", None)]
"""
    if keras.backend.backend() != "tensorflow":
        code = code.replace("_maybe_symbolic_build", "_symbolic_build")
        code = code.replace("_distribute_strategy", "_compile_metrics")
    tree = ast.parse(code)
    assert len(found(tree, of_keras)) == 4
    assert len(list(hidden_modules(tree))) == 1


def test_every_entry_says_what_keras_lacks_and_has_a_test():
    tests = (pathlib.Path(__file__).parent / "test_gaps.py").read_text()
    entries = [path for path, _ in sources(KERAS_DOOR) if not path.endswith("__init__.py")]
    assert entries
    for path in entries:
        text = " ".join((snippets.ROOT / path).read_text().split())
        missing = [part for part in ("What Keras lacks (3.", "Relied upon") if part not in text]
        assert not missing, path
        assert pathlib.Path(path).stem in tests, path


def test_every_entry_of_the_tuners_door_has_a_test():
    pytest.importorskip("keras_tuner")
    from keras_vsoftmax.tuning import keras_tuner_gaps

    tests = (snippets.ROOT / "tests/tuning/test_keras_tuner_gaps.py").read_text()
    for name, item in vars(keras_tuner_gaps).items():
        if getattr(item, "__module__", None) == keras_tuner_gaps.__name__:
            assert name in tests, name
            assert inspect.getdoc(item), name
