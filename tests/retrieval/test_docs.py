"""The snippets of docs/retrieval.md."""

import pathlib
import re

import numpy as np
import pytest

from tests import tiny

pytest.importorskip("sklearn")

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "retrieval.md"


def test_snippets_run(tmp_path, monkeypatch, capsys):
    x, y = tiny.data(samples=130)
    np.savez(tmp_path / "unseen.npz", x=x, y=y)
    tiny.classifier().save(tmp_path / "last.keras")
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert snippets
    for snippet in snippets:
        exec(snippet, {})
    printed = capsys.readouterr().out
    assert "130 queries on 130 items by cosine, 0 left out" in printed
    assert "130 queries on 130 items by euclidean" in printed
    assert "'ami'" in printed
