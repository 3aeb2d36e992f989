import sys

import numpy as np
import pytest

from keras_vsoftmax.experiments.data import image_sets as data
from keras_vsoftmax.experiments.errors import ExperimentError


def _arrays(train=6, test=4, shape=(28, 28), classes=10):
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (train, *shape)).astype("uint8"),
        "y_train": rng.integers(0, classes, train).astype("uint8"),
        "x_test": rng.integers(0, 256, (test, *shape)).astype("uint8"),
        "y_test": rng.integers(0, classes, test).astype("uint8"),
    }


@pytest.mark.parametrize(
    ("name", "shape"), [("mnist", (28, 28)), ("mnist", (28, 28, 1)), ("cifar10", (32, 32, 3))]
)
@pytest.mark.parametrize("column", [False, True])
def test_npz_as_keras_datasets_writes_it(tmp_path, name, shape, column):
    arrays = _arrays(shape=shape)
    if column:
        arrays["y_train"] = arrays["y_train"][:, None].astype("int64")
    np.savez(tmp_path / f"{name}.npz", **arrays)
    images = data.load(name, tmp_path)
    assert images.x_train.dtype == np.uint8
    assert images.y_train.dtype == np.int32
    assert images.x_train.shape == (6, *data.SPECS[name].shape)
    np.testing.assert_array_equal(images.x_test.ravel(), arrays["x_test"].ravel())
    np.testing.assert_array_equal(images.y_train, arrays["y_train"].ravel())
    assert (images.classes, images.source) == (10, str(tmp_path / f"{name}.npz"))
    limited = data.load(name, tmp_path, limit=(3, 2))
    np.testing.assert_array_equal(limited.x_train, images.x_train[:3])
    np.testing.assert_array_equal(limited.y_test, images.y_test[:2])


def _changed(**changes):
    return {**_arrays(), **changes}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": np.zeros(3)}, "Received: no y_train, x_test, y_test"),
        (
            _changed(x_train=np.zeros((6, 32, 32, 3), "uint8")),
            r"x_train .*28, 28, 1.*\(6, 32, 32, 3\)",
        ),
        (_changed(x_test=np.zeros((4, 28, 28), "float32")), "x_test .*uint8.* Received: float32"),
        (_changed(x_test=np.zeros((0, 28, 28), "uint8")), r"x_test .*\(0, 28, 28, 1\)"),
        (_changed(x_train=np.uint8(1)), r"x_train .*Received: uint8 of shape \(1,\)"),
        (_changed(y_train=np.zeros(5, int)), r"y_train .*\(6,\) or \(6, 1\).*\(5,\)"),
        (_changed(y_test=np.zeros(4)), "y_test .*Received: float64"),
        (_changed(y_test=np.array([0, 1, 2, 10])), "y_test .*0 to 9. Received: ids from 0 to 10"),
        (_changed(y_train=np.array([0, 1, -1, 2, 3, 4])), "Received: ids from -1 to 4"),
        (_changed(y_train=np.array([object()] * 6)), "no readable .npz"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, arrays, message):
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(ExperimentError, match=message):
        data.load("mnist", tmp_path)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text", "folder", "npy"])
def test_a_file_that_is_broken(tmp_path, damage):
    path = tmp_path / "mnist.npz"
    np.savez_compressed(path, **_arrays(train=200))
    content = bytearray(path.read_bytes())
    if damage == "flipped":  # inside the compressed images
        content[5000:5050] = bytes(50)
    path.write_bytes(
        {"truncated": content[:9000], "empty": b"", "text": b"hello"}.get(damage, content)
    )
    if damage == "folder":
        path.unlink()
        path.mkdir()
    if damage == "npy":
        np.save(tmp_path / "other.npy", np.zeros(3))
        (tmp_path / "other.npy").rename(path)
    with pytest.raises(ExperimentError, match=r"mnist.npz: is no readable .npz file"):
        data.load("mnist", tmp_path)


@pytest.mark.parametrize("name", list(data.SPECS))
def test_tensorflow_datasets(tmp_path, name):
    tfds = pytest.importorskip("tensorflow_datasets")
    with tfds.testing.mock_data(num_examples=5):
        images = data.load(name, tmp_path, limit=(4, None))
    spec = data.SPECS[name]
    assert images.x_train.shape == (4, *spec.shape)
    assert images.x_test.shape == (5, *spec.shape)
    assert images.y_test.max() < spec.classes
    assert images.x_train.any()


def _no_network(*args, **kwargs):
    raise ConnectionError("name or service not known\nsecond line")


def test_neither_file_nor_download(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    monkeypatch.setattr(tfds, "builder", _no_network)
    with pytest.raises(ExperimentError) as caught:
        data.load("svhn", tmp_path)
    message = str(caught.value)
    for part in (
        f"{tmp_path}/svhn.npz",
        "'svhn_cropped'",
        "not known)",
        "y_test",
        "keras_vsoftmax[examples]",
    ):
        assert part in message
    assert "\n" not in message


def test_tensorflow_datasets_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ExperimentError, match=r"No data: .*keras_vsoftmax\[examples\]"):
        data.load("mnist", tmp_path)


@pytest.mark.parametrize("name", list(data.SPECS))
def test_synthetic_data_has_the_shape_of_the_set(name):
    spec = data.SPECS[name]
    images = data.synthetic(name, (30, 20))
    again = data.synthetic(name, (30, 20))
    assert images.x_train.shape == (30, *spec.shape)
    assert images.x_test.dtype == np.uint8
    assert (images.classes, images.source) == (spec.classes, "synthetic")
    np.testing.assert_array_equal(images.x_test, again.x_test)


def test_batches_are_a_function_of_seed_and_epoch():
    images, labels = np.arange(20)[:, None], np.arange(20)

    def epoch(seed, number):
        batches = data.Batches(images, labels, 6, seed)
        batches.begin_epoch(number)
        assert len(batches) == 3
        drawn = [batches[i] for i in range(3)]
        for x, y in drawn:
            np.testing.assert_array_equal(x[:, 0], y)
        return np.concatenate([y for _, y in drawn]).tolist()

    first = epoch(1, 4)
    assert len(set(first)) == 18
    assert first == epoch(1, 4)
    assert first != epoch(1, 5)
    assert first != epoch(2, 4)


def test_a_batch_is_never_larger_than_the_set():
    assert len(data.Batches(np.zeros((5, 1)), np.zeros(5), 256, 0)) == 1
