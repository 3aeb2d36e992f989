"""Face trees: what is found, what is left out, and what training sees of them."""

import keras
import numpy as np
import pytest

from keras_vsoftmax.experiments.data.face_images import FaceBatches, read_tree
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.experiments.training.callbacks import BeginEpoch
from keras_vsoftmax.verification import DecodedImages
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
    assert str(tree) == (
        f"{root}: 6 images of 3 people; 1 passed over, beside the people's folders: README; "
        "1 passed over, in no format that Pillow reads: p01/notes.txt"
    )


def test_nothing_is_said_where_nothing_was_passed_over(face_folder, tmp_path):
    root = face_folder(tmp_path, people=3, images=2)
    assert str(read_tree(root, verbose=0)) == f"{root}: 6 images of 3 people"


@pytest.mark.parametrize(
    "litter",
    [
        ".ipynb_checkpoints/1.png",
        ".git/1.png",
        "__MACOSX/1.png",
        "@eaDir/1.png",
        "$RECYCLE.BIN/1.png",
        "lost+found/1.png",
        ".DS_Store",
        "p01/._p01_0001.png",
        "p01/.ipynb_checkpoints/p01_0001-checkpoint.png",
        "p01/Thumbs.db",
        "p01/desktop.ini",
    ],
)
def test_what_systems_leave_is_no_person_and_no_image(face_folder, tmp_path, litter):
    root = face_folder(tmp_path, people=2, images=2)
    whole = (root / "p00" / "p00_0001.png").read_bytes()
    (root / litter).parent.mkdir(exist_ok=True)
    (root / litter).write_bytes(whole)
    tree = read_tree(root, verbose=0)
    assert tree.people == ("p00", "p01")
    assert len(tree.images) == 4
    assert tree.unreadable == {}
    parts = litter.split("/")
    passed = parts[0] if parts[0] != "p01" else "/".join(parts[:2])
    assert tree.passed_over == {"hidden or left by the system": [passed]}
    assert f"1 passed over, hidden or left by the system: {passed}" in str(tree)


def test_every_format_that_the_decoder_reads_counts(face_folder, tmp_path):
    from PIL import Image

    root = face_folder(tmp_path, people=2, images=1)
    image = Image.open(root / "p00" / "p00_0001.png")
    suffixes = ("bmp", "gif", "jp2", "ppm", "tga", "tif", "webp", "JPEG")
    for suffix in suffixes:
        (root / "cem").mkdir(exist_ok=True)
        image.save(root / "cem" / f"1.{suffix}")
    # Whatever the name ends in: some sets of faces have no endings at all.
    image.save(root / "cem" / "2", format="png")
    tree = read_tree(root, verbose=0)
    assert tree.people == ("cem", "p00", "p01")
    assert tree.labels.tolist().count(0) == len(suffixes) + 1
    assert tree.passed_over == {}
    batches = FaceBatches(tree, (14, 12, 3), batch_size=11, seed=0)
    assert len(one_pass(batches)[0]) == 11


def test_what_is_no_image_is_counted_and_told_from_a_broken_one(face_folder, tmp_path):
    root = face_folder(tmp_path, people=2, images=2)
    (root / "p00" / "landmarks.txt").write_text("38 51")
    (root / "p00" / "broken.webp").write_text("no image")
    (root / "p00" / "deeper").mkdir()
    (root / "nobody").mkdir()
    tree = read_tree(root, keep=lambda name: name != "p01", verbose=0)
    assert tree.people == ("p00",)
    assert list(tree.unreadable) == ["p00/broken.webp"]
    assert tree.too_few == 1
    assert tree.passed_over == {
        "people not asked for": ["p01"],
        "folders in a person's folder": ["p00/deeper"],
        "in no format that Pillow reads": ["p00/landmarks.txt"],
    }


@pytest.mark.parametrize("mode", ["I;16", "orientation", "transparent"])
def test_training_and_verification_see_the_same_pixels(face_folder, tmp_path, mode):
    from PIL import Image

    root = face_folder(tmp_path, people=2, images=1)
    pixels = np.random.default_rng(0).integers(0, 2**16, (24, 28)).astype("uint16")
    image = Image.fromarray(pixels)
    options = {}
    if mode != "I;16":
        image = Image.fromarray((pixels >> 8).astype("uint8"))
    if mode == "transparent":
        image.putalpha(Image.new("L", image.size, 100))
    if mode == "orientation":
        options["exif"] = Image.Exif()
        options["exif"][0x0112] = 6
    image.save(root / "p00" / "p00_0001.png", **options)
    tree = read_tree(root, verbose=0)
    batches = FaceBatches(tree, (14, 12, 1), batch_size=2, seed=0)
    images, labels = one_pass(batches)
    row = labels.tolist().index(0)
    trained = images[row][:, ::-1] if batches.mirror[row] else images[row]
    verified = load_image(root / "p00" / "p00_0001.png", (14, 12, 1))
    np.testing.assert_array_equal(trained, verified)
    assert 90 < verified.mean() < 210


def test_images_that_are_kept_are_not_decoded_again(face_folder, tmp_path):
    root = face_folder(tmp_path, people=2, images=3)
    decoded = DecodedImages((14, 12, 3))
    tree = read_tree(root, verbose=0, decoded=decoded)
    expected = one_pass(FaceBatches(tree, (14, 12, 3), batch_size=4, seed=0))
    for image in tree.images:
        (root / image).unlink()
    found = one_pass(FaceBatches(tree, (14, 12, 3), batch_size=4, seed=0, decoded=decoded))
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)


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


def test_a_tree_without_some_people_is_as_if_read_so(face_folder, tmp_path):
    root = face_folder(tmp_path, people=4, images=2)
    for name in ("p00", "p01"):
        (root / name / "notes.txt").write_text("no image")
        (root / name / "broken.png").write_text("no image")
    whole = read_tree(root, verbose=0)
    part = whole.without({"p00", "p02"})
    again = read_tree(root, keep={"p01", "p03"}.__contains__, verbose=0)
    assert (part.images, part.people, part.labels.tolist()) == (
        again.images,
        again.people,
        again.labels.tolist(),
    )
    assert part.labels.dtype == np.int32
    assert part.unreadable == again.unreadable
    assert part.passed_over == again.passed_over


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
    with pytest.raises(ExperimentError, match=r"must hold PERSON/IMAGE.* Received: 0 folders"):
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


def _model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((14, 12, 3)),
            keras.layers.Rescaling(1 / 127.5, offset=-1),
            keras.layers.Flatten(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    optimizer = keras.optimizers.SGD(0.01)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def test_every_epoch_has_its_own_batches(face_folder, tmp_path):
    tree = read_tree(face_folder(tmp_path, people=2, images=20), verbose=0)

    def fit(model, begin, end):
        batches = FaceBatches(tree, (14, 12, 3), batch_size=2, seed=0)
        epochs = {"initial_epoch": begin, "epochs": end, "callbacks": [BeginEpoch(batches)]}
        model.fit(batches.fit_input(), shuffle=False, verbose=0, **epochs)
        return model.get_weights()

    straight, first, second = _model(), _model(), _model()
    expected = fit(straight, 0, 2)
    second.set_weights(fit(first, 0, 1))
    for one, other in zip(expected, fit(second, 1, 2), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-6)


def test_a_model_trains_on_them(face_folder, tmp_path):
    tree = read_tree(face_folder(tmp_path, people=2, images=8), verbose=0)
    batches = FaceBatches(tree, (14, 12, 3), batch_size=4, seed=0)
    model = _model()
    history = model.fit(batches.fit_input(), epochs=8, shuffle=False, verbose=0).history
    assert history["accuracy"][-1] == 1.0
