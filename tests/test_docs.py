"""Every example of a docstring, and every Python snippet of README and docs/heads.md, runs.

The guides whose snippets need a model or data first are tested with their subjects.
"""

import doctest
import importlib
import pathlib
import pkgutil
import re

import pytest

import keras_vsoftmax

ROOT = pathlib.Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", ROOT / "docs" / "heads.md"]
MODULES = [
    module.name for module in pkgutil.walk_packages(keras_vsoftmax.__path__, "keras_vsoftmax.")
]


def snippets():
    for document in DOCUMENTS:
        found = re.findall(r"```python\n(.*?)```", document.read_text(), re.DOTALL)
        for i, snippet in enumerate(found):
            yield pytest.param(snippet, id=f"{document.name}-{i}")


@pytest.mark.parametrize("snippet", snippets())
def test_snippet(snippet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(snippet, "snippet", "exec"), {"__name__": "__snippet__"})


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_every_public_head_is_documented():
    text = "".join(document.read_text() for document in DOCUMENTS)
    missing = [name for name in keras_vsoftmax.heads.NAMES if f"`{name}`" not in text]
    assert not missing
