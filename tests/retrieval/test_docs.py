"""The snippets of docs/retrieval.md."""

import numpy as np
import pytest

from tests import snippets, tiny

pytest.importorskip("sklearn")


def test_snippets_run(tmp_path, monkeypatch, capsys):
    x, y = tiny.data(samples=130)
    np.savez(tmp_path / "unseen.npz", x=x, y=y)
    tiny.classifier().save(tmp_path / "last.keras")
    monkeypatch.chdir(tmp_path)
    snippets.run(snippets.of("docs/retrieval.md"))
    printed = capsys.readouterr().out
    assert "130 queries on 130 items by cosine, 0 left out" in printed
    assert "130 queries on 130 items by euclidean" in printed
    assert "'ami'" in printed
