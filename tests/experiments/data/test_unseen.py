import keras
import numpy as np
import pytest

from keras_vsoftmax import Classifier, VirtualSoftmax
from keras_vsoftmax.experiments.data import image_sets
from keras_vsoftmax.experiments.data.unseen import leave_out
from keras_vsoftmax.experiments.errors import ExperimentError
from tests.retrieval import reference

pytest.importorskip("sklearn")


def _images(classes=6, tests=5):
    rng = np.random.default_rng(0)
    y_train, y_test = np.arange(classes).repeat(4), np.arange(classes).repeat(tests)
    x_train, x_test = (
        rng.integers(0, 256, (len(y), 4, 4, 1)).astype("uint8") for y in (y_train, y_test)
    )
    labels = (y.astype("int32") for y in (y_train, y_test))
    y_train, y_test = labels
    return image_sets.ImageSet(x_train, y_train, x_test, y_test, classes, "x.npz")


def test_no_class_is_on_both_sides():
    images = _images()
    data = leave_out(images, 2)
    assert (data.classes, data.samples) == (4, 16)
    assert set(data.y_train) == set(data.y_test) == {0, 1, 2, 3}
    assert set(data.y_unseen) == {4, 5}
    np.testing.assert_array_equal(data.x_unseen, images.x_test[images.y_test >= 4])
    assert data.identity()["unseen_images"] == 10
    assert data.identity()["unseen_classes"] == 2


def test_what_is_measured_is_the_unseen_images(tmp_path):
    data = leave_out(_images(), 3)
    backbone = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    model = Classifier(backbone, VirtualSoftmax(data.classes))
    found = data.measure(model, 4, tmp_path)["retrieval"]
    expected, _ = reference.figures(data.x_unseen.reshape(15, -1), data.y_unseen)
    for name, value in expected.items():
        assert found[name] == pytest.approx(value), name
    assert (found["queries"], found["left_out"]) == (15, 0)
    assert {"pair_auc", "nmi", "ami", "intra", "nearest_other"} <= found.keys()


@pytest.mark.parametrize("unseen", [1, 5, 6])
def test_too_few_classes_on_a_side(unseen):
    with pytest.raises(ExperimentError, match=f"Received: {unseen} left out"):
        leave_out(_images(), unseen)


def test_too_few_images_to_search():
    with pytest.raises(
        ExperimentError, match=r"needs images of the first 4 classes .* 16, 4 and 2"
    ):
        leave_out(_images(tests=1), 2)


def test_any_npz(tmp_path):
    images = _images(classes=7)
    arrays = {key: getattr(images, key) for key in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(tmp_path / "leaves.npz", **{**arrays, "x_train": images.x_train[..., 0]})
    found = image_sets.load_npz("leaves", tmp_path, (8, None))
    assert (found.classes, found.shape, found.samples) == (7, (4, 4, 1), 8)
    np.testing.assert_array_equal(found.x_test, images.x_test)
    np.savez(tmp_path / "bad.npz", **{**arrays, "y_test": images.y_test[:-1]})
    for name, message in (("bad", "y_test must be integer"), ("absent", "is no readable")):
        with pytest.raises(ExperimentError, match=message):
            image_sets.load_npz(name, tmp_path)
