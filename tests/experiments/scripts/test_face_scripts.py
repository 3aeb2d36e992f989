"""The scripts that verify faces, in quick mode on made-up faces."""

import argparse
import importlib.util
import pathlib
import zipfile

import keras
import numpy as np
import pytest

from keras_vsoftmax.experiments.training import records

for module in ("PIL.Image", "sklearn", "matplotlib"):
    pytest.importorskip(module)

ROOT = pathlib.Path(__file__).parents[3]
# The network with the fewest layers, since building the graph is what takes long.
TINY = ["--quick", "--backbone", "plain_2d", "--width", "0.1", "--epochs", "2"]
TINY += ["--image-size", "28", "24"]


def _script(name):
    path = ROOT / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _main(script, *argv):
    _script(script).main([str(argument) for argument in argv])


def _fails(capsys, *argv):
    """The one line with which a script ends."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        _main(*argv)
    assert caught.value.code == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    return err.splitlines()[-1]


@pytest.fixture
def lfw(face_folder, tmp_path):
    """LFW in small: four folds of two people each, pairs.txt and pair_SLLFW.txt."""
    face_folder(tmp_path / "images", people=8, suffix=".jpg")
    lines = ["4\t3"]
    for fold in range(4):
        a, b = f"p{2 * fold:02d}", f"p{2 * fold + 1:02d}"
        lines += [f"{a}\t1\t2", f"{a}\t1\t3", f"{b}\t2\t3"]
        lines += [f"{a}\t{n}\t{b}\t{n}" for n in (1, 2, 3)]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    similar = []
    for pair in range(1200):
        a = f"p{pair % 8:02d}"
        b = a if pair % 600 < 300 else f"p{(pair + 1) % 8:02d}"
        similar += [f"{a}/{a}_0001.jpg 1", f"{b}/{b}_0002.jpg 1"]
    (tmp_path / "pair_SLLFW.txt").write_text("\n".join(similar) + "\n")
    return tmp_path


def _lfw_options(lfw):
    return ["--lfw", lfw / "images", "--pairs", lfw / "pairs.txt", "--out", lfw / "runs"]


@pytest.mark.core
@pytest.mark.slow
def test_lfw_by_folds(lfw, capsys):
    options = [*TINY, *_lfw_options(lfw), "--sllfw", lfw / "pair_SLLFW.txt", "--folds", 1, 3]
    _main("lfw", *options, "--seeds", 0, 1)
    printed = capsys.readouterr().out
    # 12 images of p00, p01, p04 and p05; 12 pairs of the others.
    assert "12 images of 4 people" in printed
    assert "12 pairs of 4 people, 2 folds; none of their names is trained on" in printed
    # Two folds are not what was published, so the two stand in different tables.
    assert "99.46" not in printed
    assert "too few pairs" in printed
    found = records.find([lfw / "runs"])
    assert [(record["head"], record["seed"]) for record in found] == [
        ("softmax", 0),
        ("softmax", 1),
        ("virtual", 0),
        ("virtual", 1),
    ]
    folder = lfw / "runs" / "lfw-folds-1-3-quick" / "plain_2d-x0.1" / "virtual-seed1"
    for record in found:
        assert record["recipe"]["name"] == "lfw-folds-1-3"
        assert record["data"]["tests"]["lfw"]["folds"] == [2, 4]
        assert 0 <= record["verification"]["sllfw"]["accuracy"] <= 100
        assert [row["epoch"] for row in record["epochs"]] == [1, 2]
    for name in ("roc-lfw", "scores-lfw", "roc-sllfw", "scores-sllfw"):
        assert str(lfw / "runs" / f"{name}-quick.png") in printed
        assert (lfw / "runs" / f"{name}-quick.png").stat().st_size > 5_000

    # The saved model makes the reported figures.
    with np.load(folder / "scores-lfw.npz") as kept:
        assert kept["matched"].tolist() == ([True] * 3 + [False] * 3) * 2
    _main("lfw", *_lfw_options(lfw), "--model", folder / "last.keras")
    printed = capsys.readouterr().out
    assert "12 matched, 12 mismatched, 4 folds, 0 skipped" in printed

    # LFW's View 1: one fold, and its threshold from other pairs.
    lines = (lfw / "pairs.txt").read_text().splitlines()
    (lfw / "train.txt").write_text("\n".join(["3", *lines[1:7]]))
    (lfw / "test.txt").write_text("\n".join(["3", *lines[13:19]]))
    view = ["--lfw", lfw / "images", "--pairs", lfw / "test.txt"]
    _main("lfw", *view, "--model", folder / "last.keras")
    assert "accuracy        not supported: one fold" in capsys.readouterr().out
    view += ["--threshold-pairs", lfw / "train.txt"]
    _main("lfw", *view, "--model", folder / "last.keras")
    assert " % at the threshold " in capsys.readouterr().out

    # Complete runs are kept, and their figures drawn again.
    (lfw / "runs" / "roc-lfw-quick.png").unlink()
    _main("lfw", *options, "--seeds", 0, 1, "--resume")
    assert capsys.readouterr().out.count("complete") == 4
    assert (lfw / "runs" / "roc-lfw-quick.png").exists()

    _main("report", lfw / "runs", "--out", lfw / "report")
    written = (lfw / "report" / "report.md").read_text()
    assert "Verification on sllfw" in written
    assert "| Virtual Softmax | 95.85 |" in written


@pytest.mark.slow
def test_lfw_after_a_folder_of_others(lfw, face_folder, capsys):
    # Of the 20 people in the folder, 8 have the names of people in the pairs.
    face_folder(lfw / "casia", people=20, suffix=".png")
    (lfw / "images" / "p00" / "p00_0001.jpg").unlink()
    options = [*TINY, *_lfw_options(lfw), "--faces", lfw / "casia", "--heads", "virtual"]
    line = _fails(capsys, "lfw", *options)
    assert "pair 1 of 24 (fold 1, matched): p00/p00_0001.jpg and" in line
    assert "--skip-missing leaves them out" in line
    assert not list((lfw / "runs").rglob("*.keras"))
    _main("lfw", *options, "--skip-missing")
    printed = capsys.readouterr().out
    assert "36 images of 12 people" in printed
    assert "24 pairs in 4 folds, 3 of them skipped" in printed


@pytest.mark.slow
def test_orl(face_folder, tmp_path, capsys):
    root = face_folder(tmp_path / "orl", people=14, images=4, suffix=".pgm", channels=1)
    _main("faces_orl", *TINY, "--faces", root, "--out", tmp_path / "runs", "--heads", "virtual")
    printed = capsys.readouterr().out
    assert "16 images of 4 people" in printed
    assert "of 10 people, 10 folds; none of their names is trained on" in printed
    assert (tmp_path / "runs" / "scores-orl-quick.png").stat().st_size > 5_000


def test_what_a_user_can_put_right_ends_in_one_line(lfw, capsys):
    options = _lfw_options(lfw)
    for folds in (["9"], ["1", "9"], ["1", "2", "3"]):
        line = _fails(capsys, "lfw", *TINY, *options, "--folds", *folds)
        assert "--folds must name folds of --pairs and leave two to verify on" in line
    line = _fails(capsys, "lfw", *TINY, *options, "--faces", lfw / "nowhere")
    assert "nowhere: cannot be read" in line
    (lfw / "pairs.txt").write_text("4\t3\nnonsense\n")
    line = _fails(capsys, "lfw", *TINY, *options, "--folds", "1")
    assert "pairs.txt, line 2. Expected: a matched pair" in line
    (lfw / "latin.txt").write_bytes(b"4\t3\n\xff")
    line = _fails(capsys, "lfw", "--lfw", lfw, "--pairs", lfw / "latin.txt", "--folds", "1")
    assert "latin.txt is no list of pairs" in line
    line = _fails(capsys, "lfw", *_lfw_options(lfw), "--model", lfw / "pairs.txt")
    assert "pairs.txt, line 2" in line
    line = _fails(capsys, "faces_orl", "--faces", lfw / "runs", "--out", lfw / "runs")
    assert "runs" in line


def test_orl_decodes_each_image_once_before_the_training(face_folder, tmp_path, monkeypatch):
    from keras_vsoftmax.verification import images

    root = face_folder(tmp_path / "orl", people=12, images=3, suffix=".pgm", channels=1)
    decoded = []

    def count(path, shape):
        decoded.append(path)
        return load(path, shape)

    load = images.load_image
    monkeypatch.setattr(images, "load_image", count)
    script = _script("faces_orl")
    args = argparse.Namespace(
        faces=root, image_size=(14, 12), min_images=2, quick=False, flip=False
    )
    data = script.load(None, args)
    assert sorted(decoded) == sorted(map(str, root.glob("*/*.pgm")))
    assert (data.samples, data.classes) == (6, 2)
    model = keras.Sequential([keras.Input((14, 12, 1)), keras.layers.Flatten()])
    data.measure(model, 8, tmp_path)
    assert len(decoded) == 36


def test_too_few_people(face_folder, tmp_path, capsys):
    root = face_folder(tmp_path / "orl", people=11, images=2, suffix=".pgm", channels=1)
    line = _fails(capsys, "faces_orl", *TINY, "--faces", root, "--out", tmp_path / "runs")
    assert "must hold 10 people to verify on and two to train on. Received: 11 people" in line


def test_a_file_that_is_no_model(lfw, capsys):
    image = keras.Input((8, 8, 3))
    flat = keras.layers.Flatten()(image)
    keras.Model(image, [flat, flat]).save(lfw / "two.keras")
    (lfw / "text.keras").write_text("no model")
    with zipfile.ZipFile(lfw / "empty.keras", "w"):
        pass
    for file, reason in {
        "pairs.txt": "is no readable Keras model",
        "text.keras": "is no readable Keras model",
        "empty.keras": "is no readable Keras model",
        "two.keras": "cannot be verified (The model must give embeddings of shape (batch, d)",
    }.items():
        line = _fails(capsys, "lfw", *_lfw_options(lfw), "--model", lfw / file)
        assert f"{file}: {reason}" in line


def test_embeddings_that_are_not_finite(lfw, capsys):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Dense(4)(keras.layers.Flatten()(image)))
    model.set_weights([np.full(weight.shape, np.nan) for weight in model.get_weights()])
    model.save(lfw / "nan.keras")
    line = _fails(capsys, "lfw", *_lfw_options(lfw), "--model", lfw / "nan.keras")
    assert "The embeddings of 24 images of 24 are not finite, the first of them that of" in line


def test_one_source_of_training_is_needed(lfw, capsys):
    for extra in ([], ["--folds", "1", "--faces", lfw]):
        with pytest.raises(SystemExit) as caught:
            _main("lfw", *_lfw_options(lfw), *extra)
        assert caught.value.code == 2
    assert "not allowed with" in capsys.readouterr().err


@pytest.mark.slow
def test_lfw_identified(lfw, face_folder, capsys):
    strangers = face_folder(lfw / "more", people=30, images=1, suffix=".jpg")
    for folder in sorted(strangers.iterdir())[8:]:
        folder.rename(lfw / "images" / folder.name)
    options = [*TINY, *_lfw_options(lfw), "--folds", 1, "--heads", "virtual", "--far", 0.1]
    _main("lfw_identify", *options)
    printed = capsys.readouterr().out
    assert "6 people enrolled by 6 images, 12 queries of them; 11 of strangers" in printed
    assert "12 queries of people who are enrolled by 1 image(s) each, 11 of strangers" in printed
    (record,) = records.find([lfw / "runs"])
    assert 0 <= record["identification"]["identification_auroc"] <= 1
    # The pairs of the other folds are verified by the same model.
    assert "Verify on lfw:" in printed
    assert 0 <= record["verification"]["lfw"]["auc"] <= 1
    assert "needs 2 people" in _fails(capsys, "lfw_identify", *options, "--enroll", 3)


def test_folds_to_identify_with_are_checked(lfw, capsys):
    options = [*TINY, *_lfw_options(lfw), "--heads", "virtual"]
    line = _fails(capsys, "lfw_identify", *options, "--folds", "1", "9")
    assert "--folds must name folds of --pairs and leave two to verify on" in line
