"""People on one side only, and what a run with faces leaves behind."""

import keras
import numpy as np
import pytest

from keras_vsoftmax import Classifier, heads, verification
from keras_vsoftmax.experiments.data import face_sets as face_data
from keras_vsoftmax.experiments.data.face_images import read_tree
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.verification import Pairs, embeddings, images, make_pairs
from keras_vsoftmax.verification.images import load_image

pytest.importorskip("PIL.Image")

SHAPE = (14, 12, 3)


@pytest.fixture
def faces(face_folder, tmp_path):
    """The root, the tree of four people, and pairs of the other four."""
    root = face_folder(tmp_path / "faces", people=8)
    trained = {"p00", "p01", "p02", "p03"}
    tree = read_tree(root, keep=trained.__contains__, verbose=0)
    others = [str(p.relative_to(root)) for p in root.glob("*/*") if p.parent.name not in trained]
    return root, tree, make_pairs(others, folds=2)


def model_of(tree):
    image = keras.Input(SHAPE)
    x = keras.layers.Flatten()(keras.layers.Rescaling(1 / 127.5, offset=-1)(image))
    backbone = keras.Model(image, keras.layers.Dense(6)(x))
    return Classifier(backbone, heads.get("virtual", len(tree.people)))


def test_a_person_on_both_sides_is_refused(faces):
    root, tree, pairs = faces
    test = face_data.FaceTest(pairs, root)
    assert "none of their names is trained on" in str(face_data.FaceSet(tree, SHAPE, {"t": test}))
    leak = Pairs((tree.images[0],), (tree.images[1],), [True], [1])
    with pytest.raises(ExperimentError, match=r"1 people are on both sides.* of leak: p00"):
        face_data.FaceSet(tree, SHAPE, {"t": test, "leak": face_data.FaceTest(leak, root)})


def test_one_person_cannot_be_trained_on(faces):
    root, _, pairs = faces
    alone = read_tree(root, keep={"p00"}.__contains__, verbose=0)
    with pytest.raises(ExperimentError, match=r"needs two people\. Received: 1"):
        face_data.FaceSet(alone, SHAPE, {"t": face_data.FaceTest(pairs, root)})


def test_images_are_looked_for_before_the_training(faces):
    root, _, pairs = faces
    (root / pairs.first[0]).unlink()
    with pytest.raises(FileNotFoundError, match="pair 1 of"):
        face_data.FaceTest(pairs, root).check()
    face_data.FaceTest(pairs, root, missing="skip").check()
    with pytest.raises(ExperimentError, match="None of the"):
        face_data.FaceTest(pairs, root / "p00", missing="skip").check()
    one_kind = pairs.select(~pairs.matched)
    with pytest.raises(ExperimentError, match="Received: 0 matched and 12 mismatched"):
        face_data.FaceTest(one_kind, root, missing="skip").check()


def test_measured_figures_are_those_of_the_protocol(faces, tmp_path):
    root, tree, pairs = faces
    data = face_data.FaceSet(tree, SHAPE, {"t": face_data.FaceTest(pairs, root, flip=True)})
    assert (data.samples, data.classes, data.shape) == (12, 4, SHAPE)
    model = model_of(tree)
    measured = data.measure(model, 5, tmp_path)["verification"]["t"]
    expected = verification.verify(model, pairs, root, flip=True, verbose=0)
    assert measured["accuracy"] == pytest.approx(100 * expected.accuracy)
    assert measured["auc"] == pytest.approx(expected.auc)
    assert measured["tar_at_far"]["0.1"] == pytest.approx(100 * expected.tar_at_far[0.1])
    # Twelve mismatched pairs do not support it, and JSON has no NaN.
    assert measured["tar_at_far"]["0.01"] is None
    with np.load(face_data.scores_path(tmp_path, "t")) as kept:
        np.testing.assert_allclose(kept["scores"], expected.scores, atol=1e-5)
        assert kept["matched"].tolist() == pairs.matched.tolist()


def test_a_threshold_from_other_pairs(faces, tmp_path):
    """LFW's View 1: one fold, and a threshold from another list."""
    root, tree, pairs = faces
    train, test = pairs.in_folds([1]), pairs.in_folds([2])
    alone = face_data.FaceSet(tree, SHAPE, {"t": face_data.FaceTest(test, root)})
    judged = face_data.FaceSet(
        tree, SHAPE, {"t": face_data.FaceTest(test, root, threshold_pairs=train)}
    )
    model = model_of(tree)
    figures = alone.measure(model, 5, tmp_path)["verification"]["t"]
    assert (figures["accuracy"], figures["fold_accuracies"]) == (None, [None])
    assert 0 <= figures["auc"] <= 1
    measured = judged.measure(model, 5, tmp_path)["verification"]["t"]
    threshold = verification.verify(model, train, root, verbose=0).best_threshold()
    expected = verification.verify(model, test, root, threshold=threshold, verbose=0)
    assert measured["accuracy"] == pytest.approx(100 * expected.accuracy)
    assert measured["standard_error"] is None
    assert judged.identity()["tests"]["t"]["threshold_pairs"] == len(train)
    assert "1 fold; none of their names is trained on" in str(judged)
    leak = Pairs((tree.images[0],), (tree.images[1],), [True], [1])
    with pytest.raises(ExperimentError, match="1 people are on both sides"):
        face_data.FaceSet(tree, SHAPE, {"t": face_data.FaceTest(test, root, threshold_pairs=leak)})


def test_images_are_decoded_once_for_all_runs(faces, tmp_path, monkeypatch):
    root, tree, pairs = faces
    decoded = verification.DecodedImages(SHAPE)
    tests = {
        name: face_data.FaceTest(those, root, threshold_pairs=pairs.in_folds([1]), decoded=decoded)
        for name, those in {"all": pairs, "second": pairs.in_folds([2])}.items()
    }
    model = model_of(tree)
    expected = verification.verify(model, pairs, root, verbose=0).scores
    calls = []

    def count(path, shape):
        calls.append(path)
        return load_image(path, shape)

    monkeypatch.setattr(images, "load_image", count)
    monkeypatch.setattr(embeddings, "load_image", count)
    for test in tests.values():
        test.check()
    data = face_data.FaceSet(tree, SHAPE, tests)
    for _ in range(2):
        data.measure(model, 5, tmp_path)
    assert sorted(calls) == [str(root / image) for image in pairs.images()]
    with np.load(face_data.scores_path(tmp_path, "all")) as kept:
        np.testing.assert_allclose(kept["scores"], expected, atol=1e-6)


def test_identity_tells_runs_apart(faces):
    root, tree, pairs = faces
    whole = face_data.FaceSet(tree, SHAPE, {"t": face_data.FaceTest(pairs, root)})
    part = face_data.FaceSet(tree, SHAPE, {"t": face_data.FaceTest(pairs.in_folds([1]), root)})
    assert whole.identity()["train_people"] == 4
    assert whole.identity()["tests"]["t"] == {"pairs": 24, "folds": [1, 2], "flip": False}
    assert whole.identity() != part.identity()
