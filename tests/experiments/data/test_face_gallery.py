import keras
import numpy as np
import pytest

from keras_vsoftmax import Classifier, VirtualSoftmax
from keras_vsoftmax.experiments.data.face_gallery import FaceGallerySet
from keras_vsoftmax.experiments.data.face_images import read_tree
from keras_vsoftmax.experiments.errors import ExperimentError


@pytest.fixture
def trees(face_folder, tmp_path):
    """People p00 to p01 to train on; p02 to p13 to identify, the last eight with one image."""
    root = face_folder(tmp_path / "faces", people=14, images=3)
    for person in range(6, 14):
        for number in (2, 3):
            (root / f"p{person:02d}" / f"p{person:02d}_000{number}.png").unlink()
    trained = {"p00", "p01"}
    return (
        read_tree(root, keep=trained.__contains__, verbose=0),
        read_tree(root, keep=lambda name: name not in trained, verbose=0),
    )


def _data(trees, **settings):
    settings = {"enroll": 1, "far": 0.25, "flip": False, **settings}
    return FaceGallerySet(trees[0], (28, 24, 3), {}, trees[1], **settings)


def test_nobody_is_in_two_parts(trees):
    data = _data(trees)
    parts = data.parts()
    assert sum(part.astype(int) for part in parts.values()).tolist() == [1] * 20
    images = {
        name: [image for image, chosen in zip(data.others.images, part) if chosen]
        for name, part in parts.items()
    }
    assert images["enroll"] == [f"p{n:02d}/p{n:02d}_0001.png" for n in range(2, 6)]
    assert len(images["known"]) == 8
    people = {name: {image[:3] for image in found} for name, found in images.items()}
    assert people["calibrate"] | people["strangers"] == {f"p{n:02d}" for n in range(6, 14)}
    assert len(people["calibrate"]) == len(people["strangers"]) == 4
    assert "4 people enrolled by 4 images, 8 queries of them; 4 of strangers" in str(data)


def test_what_is_measured(trees, tmp_path):
    data = _data(trees)
    image = keras.Input((28, 24, 3))
    pixels = keras.layers.Flatten()(keras.layers.Rescaling(1 / 255, -0.5)(image))
    model = Classifier(keras.Model(image, pixels), VirtualSoftmax(2))
    found = data.measure(model, 8, tmp_path)["identification"]
    # The faces are patterns under little noise.
    assert found["identification_top_1"] == found["dir_at_far_1"] == 1
    assert found["identification_auroc"] == found["identified_rate"] == 1
    assert (found["known"], found["unknown"]) == (8, 4)
    assert found["false_accept_low"] <= found["false_accept_rate"] <= found["false_accept_high"]


def test_too_few_people(trees):
    with pytest.raises(ExperimentError, match="needs 2 people with more than 3 images"):
        _data(trees, enroll=3)
    with pytest.raises(ExperimentError, match=r"at most 10 images to calibrate.*4 images to calib"):
        _data(trees, far=0.1)
    with pytest.raises(ExperimentError, match="2 people are trained on and identified: p00, p01"):
        FaceGallerySet(trees[0], (28, 24, 3), {}, trees[0], 1, 0.25)
    assert np.isfinite(_data(trees).far)


def test_one_stranger_is_no_query(face_folder, tmp_path):
    root = face_folder(tmp_path / "faces", people=5, images=3)
    (root / "p04" / "p04_0003.png").unlink()
    trees = [
        read_tree(root, keep=people.__contains__, verbose=0)
        for people in ({"p00", "p01"}, {"p02", "p03", "p04"})
    ]
    with pytest.raises(ExperimentError, match="2 images to calibrate on, 0 queries of strangers"):
        _data(trees, enroll=2, far=0.5)
