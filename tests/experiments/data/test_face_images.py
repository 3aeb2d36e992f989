"""Face trees: what is found, what is left out, and what training sees of them."""

import keras
import numpy as np
import pytest

from keras_vsoftmax.experiments.data.face_images import FaceBatches, read_tree
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.verification.images import load_image

pytest.importorskip("PIL.Image")

pytestmark = pytest.mark.core


@pytest.mark.parametrize(("suffix", "channels"), [(".png", 3), (".jpg", 3), (".pgm", 1)])
def test_every_image_is_found_with_its_person(face_folder, tmp_path, suffix, channels):
    root = face_folder(tmp_path, people=3, images=2, suffix=suffix, channels=channels)
    (root / "p01" / "notes.txt").write_text("not a face")
    (root / "README").write_text("not a person")
    tree = read_tree(root, verbose=0)
    assert tree.people == ("p00", "p01", "p02")
    assert tree.images[:3] == (f"p00/p00_0001{suffix}", f"p00/p00_0002{suffix}",
                               f"p01/p01_0001{suffix}")  # fmt: skip
    assert tree.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert str(tree) == f"{root}: 6 images of 3 people"


def test_people_with_too_few_images_are_left_out(face_folder, tmp_path):
    root = face_folder(tmp_path, people=3, images=3)
    (root / "p01" / "p01_0001.png").unlink()
    tree = read_tree(root, min_images=3, verbose=0)
    assert tree.people == ("p00", "p02")
    assert tree.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert "1 people with too few images left out" in str(tree)


def test_only_the_people_asked_for(face_folder, tmp_path):
    tree = read_tree(
        face_folder(tmp_path), keep={"p03", "p01", "someone else"}.__contains__, verbose=0
    )
    assert tree.people == ("p01", "p03")


def test_unreadable_images_are_named_counted_and_not_fatal(face_folder, tmp_path):
    root = face_folder(tmp_path, people=3, images=3)
    broken = root / "p00" / "p00_0002.png"
    broken.write_bytes(broken.read_bytes()[:100])
    (root / "p02" / "p02_0001.png").write_text("no image")
    tree = read_tree(root, min_images=3, verbose=0)
    assert set(tree.unreadable) == {"p00/p00_0002.png", "p02/p02_0001.png"}
    # They do not count as images of their people either.
    assert tree.people == ("p01",)
    assert "2 unreadable: p00/p00_0002.png (" in str(tree)


def test_long_lists_of_unreadable_images_are_cut(face_folder, tmp_path):
    root = face_folder(tmp_path, people=2, images=7)
    for path in (root / "p00").iterdir():
        path.write_text("no image")
    text = str(read_tree(root, verbose=0))
    assert "7 unreadable: " in text
    assert "p00_0005.png" in text
    assert "p00_0006.png" not in text


def test_no_folder_no_faces_no_readable_face(face_folder, tmp_path):
    with pytest.raises(ExperimentError, match="nowhere: cannot be read"):
        read_tree(tmp_path / "nowhere", verbose=0)
    with pytest.raises(ExperimentError, match="Received: 0 folders without such an image"):
        read_tree(tmp_path, verbose=0)
    root = face_folder(tmp_path / "faces", people=2, images=2)
    with pytest.raises(ExperimentError, match=r"no person with 3 readable image.*4 images, 0 of"):
        read_tree(root, min_images=3, verbose=0)
    for path in root.glob("*/*.png"):
        path.write_text("no image")
    with pytest.raises(ExperimentError, match=r"4 of them unreadable, the first p00/p00_0001\.png"):
        read_tree(root, verbose=0)


def one_pass(batches):
    stream = batches.fit_input()
    if keras.backend.backend() == "tensorflow":
        parts = [(images.numpy(), labels.numpy()) for images, labels in stream]
    else:
        parts = [stream[number] for number in range(len(stream))]
    assert len(parts) == len(stream) == len(batches)
    return [np.concatenate(part) for part in zip(*parts)]


def test_batches_hold_what_the_draws_say(face_folder, tmp_path):
    tree = read_tree(face_folder(tmp_path, people=3, images=3), verbose=0)
    batches = FaceBatches(tree, (14, 12, 3), batch_size=4, seed=5)
    plain = np.stack([load_image(tree.root / image, (14, 12, 3)) for image in tree.images])
    passes = []
    for epoch in (0, 1):
        batches.begin_epoch(epoch)
        images, labels = one_pass(batches)
        assert images.shape == (8, 14, 12, 3)
        assert images.dtype == np.uint8
        assert labels.dtype == np.int32
        assert len(set(batches.order)) == 8
        assert labels.tolist() == tree.labels[batches.order].tolist()
        for image, index, mirror in zip(images, batches.order, batches.mirror):
            expected = plain[index][:, ::-1] if mirror else plain[index]
            np.testing.assert_array_equal(image, expected)
        passes.append((images, labels))
    assert not np.array_equal(passes[0][1], passes[1][1])

    again = FaceBatches(tree, (14, 12, 3), batch_size=4, seed=5)
    again.begin_epoch(1)
    np.testing.assert_array_equal(one_pass(again)[0], passes[1][0])
    other = FaceBatches(tree, (14, 12, 3), batch_size=4, seed=6)
    other.begin_epoch(1)
    assert not np.array_equal(one_pass(other)[0], passes[1][0])


def test_batches_are_at_most_the_tree(face_folder, tmp_path):
    tree = read_tree(face_folder(tmp_path, people=2, images=2), verbose=0)
    batches = FaceBatches(tree, (14, 12, 3), batch_size=100, seed=0)
    assert len(batches) == 1
    assert one_pass(batches)[0].shape == (4, 14, 12, 3)


def test_a_model_trains_on_them(face_folder, tmp_path):
    tree = read_tree(face_folder(tmp_path, people=2, images=8), verbose=0)
    batches = FaceBatches(tree, (14, 12, 3), batch_size=4, seed=0)
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((14, 12, 3)),
            keras.layers.Rescaling(1 / 127.5, offset=-1),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(batches.fit_input(), epochs=8, shuffle=False, verbose=0).history
    assert history["accuracy"][-1] == 1.0
