"""A head that is defined here takes part everywhere, by a class, an oracle and one name.

The rest of the tree knows nothing of it: the contract's tests, the report, a search.
"""

import inspect
import itertools

import keras
import numpy as np
import pytest

import keras_vsoftmax
from keras_vsoftmax import heads
from tests import oracle
from tests.heads import cases, test_contract, test_exactness, test_second_derivatives

pytestmark = pytest.mark.core

NAME = "gap"


@keras.saving.register_keras_serializable(package="tests")
class GapSoftmax(heads.Head):
    """The label's logit must win by a gap."""

    title = "Gap Softmax"
    formula = "z'_y = z_y - m"
    source = "nobody, 2026"
    ranges = {"gap": (0.1, 2.0)}

    def __init__(self, units, *, gap=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.gap = gap

    def get_config(self):
        return {**super().get_config(), "gap": self.gap}

    def training_terms(self, batch):
        return heads.Terms(target=batch.label_logit - self.gap)


def gap_softmax(x, w, ids, rows, gap):
    label = np.arange(len(ids)), ids
    return oracle.from_product(
        x, w, rows, modified=oracle.with_label(x @ w, ids, (x @ w)[label] - gap)
    )


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(oracle.HEADS, NAME, gap_softmax)
    heads.register(NAME)(GapSoftmax)


def contract():
    """Every test of the contract that goes over all heads, or all with a margin, and its cases."""
    for module in (test_contract, test_exactness, test_second_derivatives):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            marks = getattr(function, "pytestmark", [])
            over = {m.args[0]: m.args[1] for m in marks if m.name == "parametrize"}
            everyone = set(test_contract.MARGIN_HEADS) <= set(over.pop("name", ()))
            skipped = any(m.name == "skipif" and m.args[0] for m in marks)
            if not name.startswith("test_") or not everyone or skipped:
                continue
            for values in itertools.product(*over.values()):
                case = dict(zip(over, values))
                yield pytest.param(function, case, id=f"{name}-{'-'.join(map(str, values))}")


@pytest.mark.filterwarnings("ignore:.*received `from_logits=True`")
@pytest.mark.parametrize(("function", "case"), contract())
def test_it_keeps_the_contract(function, case):
    function(name=NAME, **case)


def test_the_whole_contract_is_run():
    assert len({case.values[0] for case in contract()}) > 12


def test_it_is_known_by_its_name():
    assert heads.NAMES[-1] == NAME
    assert type(heads.get(NAME, 3)) is GapSoftmax
    with pytest.raises(ValueError, match=r"synthetic_virtual.*gap\. Received"):
        heads.get("gaps", 3)
    assert cases.KNOBS[NAME] == {"gap": 1.0}


def test_it_trains_is_saved_and_loaded(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(24) % 3
    x = (rng.normal(size=(24, 4)) + 3 * np.eye(3, 4)[y]).astype("float32")
    backbone = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    model = keras_vsoftmax.Classifier(backbone, heads.get(NAME, 3, gap=0.5))
    model.compile("sgd", metrics=["accuracy"])
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.head.gap == 0.5
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), 1e-5)


def test_a_search_goes_over_it(tmp_path):
    tuning = pytest.importorskip("keras_vsoftmax.tuning", exc_type=ImportError)
    space = tuning.HeadHyperModel(
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)]),
        3,
        heads=["softmax", NAME],
        embedding=None,
        batch_size=12,
    )
    tuner = tuning.RandomSearch(
        space, max_trials=4, directory=tmp_path, project_name="search", seed=1
    )
    x, y = np.random.default_rng(0).normal(size=(24, 4)).astype("float32"), np.arange(24) % 3
    tuner.search(x, y, validation_split=0.5, epochs=1, verbose=0)
    found = [trial.hyperparameters.values for trial in tuner.oracle.trials.values()]
    ours = [values for values in found if values["head"] == NAME]
    assert ours
    for values in found:
        assert ("gap_gap" in values) == (values["head"] == NAME)
    assert all(0.1 <= values["gap_gap"] <= 2 for values in ours)
    assert tuning.HeadHyperModel(space.backbone, 3).heads == heads.NAMES
