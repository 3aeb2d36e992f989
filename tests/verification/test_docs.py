"""The snippets of docs/verification.md."""

import keras
import pytest

from tests import snippets

pytest.importorskip("PIL.Image")
pytest.importorskip("sklearn")


def test_snippets_run(face_folder, tmp_path, monkeypatch, capsys):
    face_folder(tmp_path / "lfw" / "images", people=4, suffix=".jpg")
    lines = ["2\t1", "p00\t1\t2", "p00\t1\tp01\t1", "p02\t1\t3", "p02\t2\tp03\t3"]
    (tmp_path / "lfw" / "pairs.txt").write_text("\n".join(lines))
    (tmp_path / "lfw" / "pairsDevTrain.txt").write_text("\n".join(["1", *lines[1:3]]))
    (tmp_path / "lfw" / "pairsDevTest.txt").write_text("\n".join(["1", *lines[3:5]]))
    image = keras.Input((14, 12, 3))
    keras.Model(image, keras.layers.Flatten()(image)).save(tmp_path / "faces.keras")
    monkeypatch.chdir(tmp_path)
    snippets.run(snippets.of("docs/verification.md"), names={})
    printed = capsys.readouterr().out
    assert "2 matched, 2 mismatched, 2 folds, 0 skipped" in printed
    assert "1 matched, 1 mismatched, 1 fold, 0 skipped" in printed
    assert " % at the threshold " in printed
