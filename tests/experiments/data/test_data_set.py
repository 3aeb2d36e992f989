"""What a newcomer's data has to be, and that nothing asks of what kind it is."""

import abc
import ast
import pathlib

import keras
import numpy as np
import pytest

from keras_vsoftmax import backbones
from keras_vsoftmax.experiments.data.data_set import DataSet
from keras_vsoftmax.experiments.data.face_sets import FaceSet
from keras_vsoftmax.experiments.data.image_sets import Batches, ImageSet
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.report import report
from keras_vsoftmax.experiments.report.section import Section
from keras_vsoftmax.experiments.training import recipes, records, runner

EXPERIMENTS = pathlib.Path(runner.__file__).parents[1]


class Points(DataSet):
    """Two classes, and a figure that no section of the report knows."""

    samples, classes, shape = 8, 2, (4, 4, 1)
    leaves = ("points-*.txt",)

    def identity(self):
        return {"source": "made up", "train_images": self.samples}

    def batches(self, batch_size, seed):
        labels = np.arange(self.samples) % 2
        images = np.zeros((self.samples, *self.shape), "uint8") + labels[:, None, None, None]
        return Batches(images, labels.astype("int32"), batch_size, seed)

    def measure(self, model, batch_size, folder):
        (folder / "points-1.txt").write_text("1")
        return {"points": {"figure": 3.5}}


class PointSection(Section):
    key = "points"

    def tables(self, group):
        return "".join(f"{run['points']['figure']}" for run in group["softmax"].values())

    def document(self, groups):
        return [f"## {len(groups)} groups of points", *map(self.tables, groups)]


def _network(identifier, input_shape, width, l2, synchronized):
    image = keras.Input(input_shape)
    return keras.Model(image, keras.layers.Flatten()(image))


@pytest.mark.core
def test_a_new_kind_of_data_runs_and_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(backbones, "get", _network)
    recipe = recipes.MNIST.shortened(4)
    run = runner.Run(recipe, "softmax", 0, tmp_path)
    run.folder.mkdir(parents=True)
    (run.folder / "points-0.txt").write_text("of an earlier run")
    record = runner.train(run, Points())
    assert record["points"] == {"figure": 3.5}
    assert sorted(path.name for path in run.folder.glob("points-*")) == ["points-1.txt"]
    # No test after each epoch: there is no best one, and errors are those of the training.
    assert not (run.folder / "best.keras").exists()
    assert "test_error" not in record["epochs"][-1]
    found = records.find([tmp_path])
    with pytest.raises(
        ExperimentError,
        match=r"one of cosines, retrieval, verification, identification\. Received: .*points",
    ):
        report.tables(found)
    monkeypatch.setattr(report, "SECTIONS", (*report.SECTIONS, PointSection()))
    assert report.tables(found) == "3.5"
    text = report.write(found, tmp_path / "report")
    assert "## 1 groups of points\n3.5" in text
    assert "## MNIST" in text


@pytest.mark.parametrize("kind", [ImageSet, FaceSet])
def test_the_kinds_of_data_keep_the_contract(kind):
    assert issubclass(kind, DataSet)
    assert kind.__abstractmethods__ == frozenset()
    assert kind.__doc__
    with pytest.raises(TypeError, match="abstract"):
        type("Half", (DataSet,), {"identity": lambda self: {}})()
    assert isinstance(DataSet, abc.ABCMeta)


@pytest.mark.parametrize("file", ["training/runner.py", "report/report.py", "scripts/script.py"])
def test_no_one_asks_whether_they_are_faces(file):
    tree = ast.parse((EXPERIMENTS / file).read_text())
    asked = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", "") in ("isinstance", "hasattr")
        and {"data", "DataSet"} & {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    ]
    assert asked == []
    literals = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert not {"verification", "cosines", "scores-*.npz"} & literals
