"""What the example searches share, and the examples in quick mode."""

import importlib.util
import pathlib
import re
import types

import keras
import keras_tuner
import numpy as np
import pytest

from keras_vsoftmax import tuning
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.scripts import search

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples"


def make_space(seed):
    return tuning.HeadHyperModel(
        lambda hp: keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]),
        2,
        heads=["virtual", "softmax"],
        embedding=None,
        batch_size=8,
        seed=seed,
    )


def fake_tuner(*heads):
    """A tuner after a search in which these heads were the best, in this order."""
    best = []
    for rate, head in enumerate(heads, 1):
        hp = keras_tuner.HyperParameters()
        make_space(0).build(hp)
        hp.values.update(head=head, learning_rate=rate / 100)
        best.append(hp)
    return types.SimpleNamespace(
        get_best_hyperparameters=lambda count=1: best[:count],
        oracle=types.SimpleNamespace(trials=dict.fromkeys(range(len(best)))),
    )


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        (["virtual"], {"virtual": 0.01, "softmax": 0.01}),
        (["virtual", "virtual", "softmax"], {"virtual": 0.01, "softmax": 0.03}),
        (["softmax", "virtual"], {"softmax": 0.01}),
    ],
)
def test_the_winner_meets_the_best_softmax(heads, expected, tmp_path, monkeypatch):
    seen = []

    class Watched(tuning.HeadHyperModel):
        def fit(self, hp, model, *args, **kwargs):
            seen.append((hp["head"], hp["learning_rate"], self.seed))

    monkeypatch.setattr(tuning, "HeadHyperModel", Watched)
    data = np.eye(4, dtype="float32"), np.array([0, 1, 0, 1])
    path = tmp_path / "winner.keras"
    errors = search.rematch(fake_tuner(*heads), make_space, data, data, [3, 5], path)
    assert seen == [(name, rate, seed) for seed in (3, 5) for name, rate in expected.items()]
    assert {name: len(values) for name, values in errors.items()} == dict.fromkeys(expected, 2)
    assert keras.saving.load_model(path).predict(data[0], verbose=0).shape == (4, 2)


def test_a_search_without_a_result_says_so(tmp_path):
    with pytest.raises(ExperimentError, match="No trial was completed"):
        search.rematch(fake_tuner(), make_space, None, None, [0], tmp_path / "winner.keras")


def test_table():
    values = {"learning_rate": 0.012345, "head": "arcface", "arcface_scale": 9}
    values |= {"tuner/epochs": 3, "tuner/initial_epoch": 2}
    trial = types.SimpleNamespace(
        trial_id="07",
        score=0.98765,
        best_step=4,
        hyperparameters=types.SimpleNamespace(values=values),
    )
    oracle = types.SimpleNamespace(get_best_trials=lambda count: [trial][:count])
    text = search.table(types.SimpleNamespace(oracle=oracle))
    row = "| 07 | 0.9877 | 7 | head arcface, arcface_scale 9, learning_rate 0.01235 |"
    assert text.splitlines()[2:] == [row]


def test_verdict():
    text = search.verdict({"arcface": [1.0, 3.0], "softmax": [2.5]})
    assert "| arcface | 1.00 3.00 | 2.00 ± 1.41 |" in text
    assert "| softmax | 2.50 | 2.50 |" in text


def run(example, *argv):
    spec = importlib.util.spec_from_file_location(example, EXAMPLES / f"{example}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main([str(argument) for argument in argv])


@pytest.mark.slow
def test_the_digits_search_and_its_resumption(tmp_path, capsys):
    arguments = ["--quick", "--heads", "softmax", "virtual", "--out", tmp_path]
    run("tune_digits", *arguments)
    first = capsys.readouterr().out
    trials = re.findall(r"^\| (\d) \| (0\.\d+) \| (\d) \| head (\w+)", first, flags=re.MULTILINE)
    assert sorted(number for number, *_ in trials) == ["0", "1", "2", "3"]
    scores = [float(score) for _, score, *_ in trials]
    assert scores == sorted(scores, reverse=True)
    model = keras.saving.load_model(tmp_path / "digits-RandomSearch-quick.keras")
    assert model.predict(np.zeros((2, 8, 8, 1)), verbose=0).shape == (2, 10)

    run("tune_digits", *arguments)
    again = capsys.readouterr().out
    assert "Running Trial" in first
    assert "Running Trial" not in again
    assert first[first.index("Best trials") :] == again[again.index("Best trials") :]


@pytest.mark.slow
def test_the_cifar100_search(tmp_path, capsys):
    run(
        "tune_cifar100",
        *("--quick", "--synthetic", "--backbone", "plain_2d", "--width", 0.1, "--epochs", 1),
        *("--tuner", "GridSearch", "--trials", 2, "--heads", "softmax", "--out", tmp_path),
    )
    text = capsys.readouterr().out
    assert len(re.findall(r"^\| \d+ \| .*head softmax.* l2 ", text, flags=re.MULTILINE)) == 2
    name = "tune-cifar100-GridSearch-quick-synthetic.keras"
    model = keras.saving.load_model(tmp_path / name)
    assert model.predict(np.zeros((2, 32, 32, 3)), verbose=0).shape == (2, 100)


def test_a_search_of_other_settings_is_not_gone_on_with(tmp_path):
    def make(heads, epochs=2, **settings):
        return search.make_tuner(
            *("RandomSearch", make_space(0), 1, epochs),
            identity={"heads": heads},
            directory=tmp_path,
            project_name="search",
            **{"overwrite": False, **settings},
        )

    make(["virtual"])
    make(["virtual"])
    for heads, epochs in (["softmax"], 2), (["virtual"], 3):
        with pytest.raises(ExperimentError, match=r"search.json: was begun with other settings"):
            make(heads, epochs)
    make(["softmax"], overwrite=True)
    make(["softmax"])
