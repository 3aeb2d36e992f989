"""From a model and files on disk to the figures."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_vsoftmax.verification import (
    Pairs,
    cosine_scores,
    embed_images,
    embeddings,
    euclidean_scores,
    make_pairs,
    read_lfw_pairs,
    verify,
)
from keras_vsoftmax.verification.images import load_image, saved_names

pytest.importorskip("PIL.Image")
pytest.importorskip("sklearn")

LFW = os.environ.get("KERAS_VSOFTMAX_LFW")

pytestmark = pytest.mark.core


def network(shape=(14, 12, 3), dim=5):
    keras.utils.set_random_seed(0)
    image = keras.Input(shape)
    x = keras.layers.Rescaling(1 / 128, offset=-1)(image)
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(x)
    return keras.Model(image, keras.layers.Dense(dim)(keras.layers.Flatten()(x)))


def files(root):
    return sorted(str(path.relative_to(root)) for path in root.glob("*/*.png"))


def by_hand(model, root, images, flip=False):
    pixels = np.stack([load_image(root / image, model.input_shape[1:]) for image in images])
    pixels = pixels.astype("float32")
    embeddings = keras.ops.convert_to_numpy(model(pixels))
    if flip:
        mirrored = keras.ops.convert_to_numpy(model(pixels[:, :, ::-1].copy()))
        embeddings = (embeddings + mirrored) / 2
    return embeddings


@pytest.mark.parametrize("flip", [False, True])
def test_embeddings_equal_one_pass_by_hand(face_folder, tmp_path, flip):
    root, model = face_folder(tmp_path), network()
    images = files(root)
    paths = [root / image for image in images]
    found = embed_images(model, paths, batch_size=5, flip=flip, verbose=0)
    assert found.shape == (12, 5)
    np.testing.assert_allclose(found, by_hand(model, root, images, flip), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("score", "function"), [
    ("cosine", cosine_scores), ("euclidean", euclidean_scores)
])  # fmt: skip
def test_verify_scores_the_pairs_it_was_given(face_folder, tmp_path, score, function):
    root, model = face_folder(tmp_path), network()
    pairs = make_pairs(files(root), folds=2, seed=1)
    result = verify(model, pairs, root, score=score, batch_size=4, verbose=0)
    expected = function(by_hand(model, root, pairs.first), by_hand(model, root, pairs.second))
    np.testing.assert_allclose(result.scores, expected, rtol=1e-3, atol=1e-4)
    assert result.matched.tolist() == pairs.matched.tolist()
    assert result.folds.tolist() == pairs.folds.tolist()
    assert result.skipped == 0


def test_each_image_is_embedded_once(face_folder, tmp_path, monkeypatch):
    root = face_folder(tmp_path)
    pairs = make_pairs(files(root), folds=2)
    decoded = []

    def record(path, shape):
        decoded.append(path)
        return load_image(path, shape)

    monkeypatch.setattr(embeddings, "load_image", record)
    verify(network(), pairs, root, verbose=0)
    assert len(pairs) == 24
    assert sorted(decoded) == [str(root / image) for image in pairs.images()]


def test_a_missing_image_is_an_error_that_names_the_pair(face_folder, tmp_path):
    root = face_folder(tmp_path)
    pairs = make_pairs(files(root), folds=2)
    (root / pairs.second[3]).unlink()
    first = next(
        k for k in range(len(pairs)) if pairs.second[3] in (pairs.first[k], pairs.second[k])
    )
    wanted = f"An image of {pairs.describe(first)} cannot be read under {root}"
    with pytest.raises(FileNotFoundError) as caught:
        verify(network(), pairs, root, verbose=0)
    assert wanted in str(caught.value)
    assert "FileNotFoundError" in str(caught.value)


def test_missing_and_broken_images_are_skipped_and_counted(face_folder, tmp_path):
    root = face_folder(tmp_path)
    pairs = make_pairs(files(root), folds=2)
    gone, broken = pairs.images()[0], pairs.images()[-1]
    (root / gone).unlink()
    (root / broken).write_bytes(b"broken")
    kept = pairs.select([not {gone, broken} & {a, b} for a, b in zip(pairs.first, pairs.second)])
    assert 0 < len(kept) < len(pairs)
    result = verify(network(), pairs, root, missing="skip", verbose=0)
    assert result.skipped == len(pairs) - len(kept)
    alone = verify(network(), kept, root, verbose=0)
    np.testing.assert_allclose(result.scores, alone.scores, rtol=1e-5)
    assert f"{result.skipped} skipped" in str(result)


def test_images_saved_in_another_format_than_the_list_says(face_folder, tmp_path):
    root, model = face_folder(tmp_path, suffix=".png"), network()
    (tmp_path / "pairs.txt").write_text("1\t1\np00\t1\t2\np01\t1\tp02\t3\n")
    listed = read_lfw_pairs(tmp_path / "pairs.txt")
    assert listed.first[0] == "p00/p00_0001.jpg"
    result = verify(model, listed, root, verbose=0)
    saved = [image.replace("jpg", "png") for image in listed.first + listed.second]
    expected = cosine_scores(by_hand(model, root, saved[:2]), by_hand(model, root, saved[2:]))
    np.testing.assert_allclose(result.scores, expected, rtol=1e-3, atol=1e-4)
    # Two formats of one image: which of them is meant is not for us to guess.
    (root / "p00" / "p00_0001.bmp").write_bytes((root / "p00" / "p00_0001.png").read_bytes())
    with pytest.raises(FileNotFoundError, match=r"pair 1 of 2 .* p00/p00_0001\.jpg"):
        verify(model, listed, root, verbose=0)
    # An image without a folder, and one that no file stands for.
    assert saved_names(root, ["nobody/nobody_0001.jpg", "alone.jpg"]) == {}


def test_one_fold_is_verified_and_gives_a_threshold(face_folder, tmp_path):
    root, model = face_folder(tmp_path), network()
    train, test = (make_pairs(files(root), folds=1, pairs_per_fold=6, seed=s) for s in (0, 1))
    result = verify(model, train, root, verbose=0)
    assert np.isnan(result.accuracy)
    assert 0 <= result.auc <= 1
    threshold = result.best_threshold()
    judged = verify(model, test, root, verbose=0, threshold=threshold)
    assert judged.accuracy == np.mean((judged.scores >= threshold) == test.matched)


def test_no_pair_left_is_an_error(tmp_path):
    pairs = Pairs(("a/1.png",), ("a/2.png",), [True], [1])
    with pytest.raises(ValueError, match="None of the 1 pairs"):
        verify(network(), pairs, tmp_path, missing="skip", verbose=0)


@pytest.mark.parametrize(
    "option",
    [
        {"score": "dot"},
        {"missing": "ignore"},
        {"threshold": "a"},
        {"batch_size": 0},
        {"pairs": "pairs.txt"},
    ],
)
def test_unknown_choices_are_refused(tmp_path, option):
    pairs = Pairs(("a/1.png",), ("a/2.png",), [True], [1])
    ((name, value),) = option.items()
    arguments = {"pairs": pairs, "root": tmp_path, "verbose": 0, **option}
    with pytest.raises(ValueError, match=f"Received: {name}={value!r}"):
        verify(network(), **arguments)


def test_models_that_do_not_embed_images_are_refused():
    vector = keras.Input((4,))
    with pytest.raises(ValueError, match=r"Received: flat with input shape \(None, 4\)"):
        embed_images(keras.Model(vector, vector * 2, name="flat"), [])
    free = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match="known shape"):
        embed_images(keras.Model(free, free * 2), [])
    image = keras.Input((4, 4, 3))
    with pytest.raises(ValueError, match=r"output shape \(None, 4, 4, 3\)"):
        embed_images(keras.Model(image, image * 2), [])


STREAM = """
import resource, sys
import keras
from keras_vsoftmax.verification import embed_images

shape = (224, 192, 3)
image = keras.Input(shape)
model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))
for count in (300, 1800):
    embed_images(model, [sys.argv[1]] * count, batch_size=32, verbose=0)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
def test_memory_does_not_grow_with_the_images(face_folder, tmp_path):
    # In a process of its own, whose peak nothing else has raised before.
    path = next(face_folder(tmp_path, people=1, images=1).glob("*/*"))
    run = subprocess.run(
        [sys.executable, "-c", STREAM, str(path)], check=True, capture_output=True, text=True
    )
    few, many = map(int, run.stdout.split())
    # 1,500 images more are 194 MB of pixels, four times that as floats.
    assert many - few < 60e6


@pytest.mark.skipif(not LFW, reason="KERAS_VSOFTMAX_LFW does not name a folder with LFW")
def test_all_images_of_lfw_are_embedded():
    root = pathlib.Path(LFW)
    pairs = read_lfw_pairs(root / "pairs.txt")
    result = verify(network(), pairs, root / "images", verbose=0)
    assert (len(result.scores), result.skipped) == (6000, 0)
    assert 0.5 < result.accuracy < 0.7
