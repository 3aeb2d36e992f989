"""The snippets of docs/identification.md."""

import keras
import numpy as np

from tests import snippets
from tests.identification import people


def test_snippets_run(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(0)
    x, names = people.draw(rng, 6, 4, dim=8, noise=0.2)
    strangers, stranger_names = people.draw(rng, 60, 5, dim=8)
    arrays = [x, np.char.add("p", names.astype(str))]
    arrays += [strangers, np.char.add("q", stranger_names.astype(str))]
    np.savez(tmp_path / "people.npz", *arrays)
    image = keras.Input((8,))
    keras.Model(image, keras.layers.ReLU(negative_slope=0.9)(image)).save(tmp_path / "faces.keras")
    monkeypatch.chdir(tmp_path)
    names = snippets.run(snippets.of("docs/identification.md"), names={})
    assert "12 known and 100 unknown queries" in capsys.readouterr().out
    assert [name is not None for name in names["found"]].count(True) >= 6
