"""The snippets of docs/tuning.md run, in their order, on digits that are made up."""

import inspect
import re

import keras
import numpy as np
import pytest

from keras_vsoftmax import tuning
from keras_vsoftmax.tuning import ranges
from tests import snippets

pytestmark = pytest.mark.core

PAGE = "docs/tuning.md"


def test_the_snippets_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # One trial of one epoch says as much about the snippet as twenty.
    text = [
        text.replace("max_trials=20", "max_trials=1").replace("epochs=10", "epochs=1, verbose=0")
        for text in snippets.of(PAGE)
    ]
    rng = np.random.default_rng(0)
    given = {
        "keras": keras,
        "backbone": keras.Sequential([keras.Input((8, 8)), keras.layers.Flatten()]),
        "x": rng.uniform(size=(40, 8, 8)).astype("float32"),
        "y": np.arange(40) % 10,
    }
    assert len(text) == 3
    names = snippets.run(text, given)
    assert names["model"].predict(names["x"], verbose=0).shape == (40, 10)
    assert names["space"].build(names["tuner"].oracle.get_space()) is not None


def test_the_table_names_every_default():
    text = (snippets.ROOT / PAGE).read_text()
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", text, flags=re.MULTILINE)
    told = {name: values for names, values in rows for name in re.findall(r"`(\w+)`", names)}
    expected = dict(ranges.TRAINING)
    for head, knobs in ranges.KNOBS.items():
        expected |= {f"{head}_{knob}": values for knob, values in knobs.items()}
    del told["head"]
    assert {name: eval(values) for name, values in told.items()} == expected


def test_the_docstring_names_the_defaults():
    text = inspect.getdoc(tuning.HeadHyperModel)
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", text, flags=re.MULTILINE)
    assert {name: eval(values) for name, values in rows if name != "head"} == ranges.TRAINING
