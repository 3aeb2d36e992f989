"""The image sets of the published comparison, from an `.npz` file or tensorflow-datasets."""

import dataclasses
import pathlib
import zipfile
import zlib

import keras
import numpy as np

from keras_vsoftmax.experiments.data.data_set import DataSet
from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.retrieval.similarity import class_cosines
from keras_vsoftmax.utils.extras import require


@dataclasses.dataclass(frozen=True)
class Spec:
    """What an image set must look like, and where tensorflow-datasets keeps it."""

    shape: tuple
    classes: int
    tfds: str
    train: str = "train"
    test: str = "test"
    resized: bool = False  # photographs of all sizes: their largest central square, resized


SPECS = {
    "mnist": Spec((28, 28, 1), 10, "mnist"),
    "svhn": Spec((32, 32, 3), 10, "svhn_cropped", train="train+extra"),
    "cifar10": Spec((32, 32, 3), 10, "cifar10"),
    "cifar100": Spec((32, 32, 3), 100, "cifar100"),
    "imagenet32": Spec((32, 32, 3), 1000, "imagenet_resized/32x32", test="validation"),
}

_KEYS = ("x_train", "y_train", "x_test", "y_test")


@dataclasses.dataclass(frozen=True)
class ImageSet(DataSet):
    """Images as stored, uint8 (samples, height, width, channels), and class ids, int32.

    They are tested after each epoch. What is measured at the end are `cosines`, see
    `class_cosines`.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    classes: int
    source: str

    @property
    def samples(self):
        return len(self.x_train)

    @property
    def shape(self):
        return self.x_train.shape[1:]

    def identity(self):
        return {
            "source": self.source,
            "train_images": len(self.x_train),
            "test_images": len(self.x_test),
        }

    def batches(self, batch_size, seed):
        return Batches(self.x_train, self.y_train, batch_size, seed)

    def validation(self, batch_size):
        return {
            "validation_data": (self.x_test, self.y_test),
            "validation_batch_size": batch_size,
        }

    def measure(self, model, batch_size, folder):
        features = model.embed(self.x_test, batch_size=batch_size, verbose=0)
        names = ("intra", "nearest_other")
        return {"cosines": dict(zip(names, class_cosines(features, self.y_test), strict=True))}


def load(name, data_dir, limit=(None, None)):
    """Read an image set into memory.

    `DATA_DIR/NAME.npz` is taken where it is there, tensorflow-datasets otherwise. The set stays
    in memory as uint8, ImageNet32 as the largest with 4.1 GB.

    Args:
        name: one of `SPECS`.
        data_dir: folder of `NAME.npz` (`x_train`, `y_train`, `x_test`, `y_test` as in
            `keras.datasets`), and of tensorflow-datasets's own files.
        limit: how many images to take of the training and the test set; `None` is all.

    Returns:
        An `ImageSet`.

    Raises:
        ExperimentError: where there is no such data, or it is broken or of another shape.
    """
    return load_spec(SPECS[name], name, data_dir, limit)


def load_spec(spec, name, data_dir, limit=(None, None)):
    """Read the image set that a `Spec` describes; see `load`."""
    path = pathlib.Path(data_dir) / f"{name}.npz"
    if path.exists():
        return _checked(_read_npz(path, limit), spec, f"{path}")
    return _checked(_read_tfds(spec, path, limit), spec, f"tensorflow-datasets {spec.tfds}")


def load_npz(name, data_dir, limit=(None, None)):
    """Read `DATA_DIR/NAME.npz`, whatever the shape of its images and the number of its classes.

    Args and errors are those of `load`.
    """
    path = pathlib.Path(data_dir) / f"{name}.npz"
    arrays = _read_npz(path, limit)
    images, labels = arrays[0], np.concatenate([np.ravel(arrays[1]), np.ravel(arrays[3])])
    shape = images.shape[1:] if images.ndim == 4 else (*images.shape[1:], 1)
    classes = int(labels.max()) + 1 if labels.size and labels.dtype.kind in "iu" else 0
    return _checked(arrays, Spec(shape, classes, tfds=""), f"{path}")


def synthetic(name, limit):
    """Data of the set's shape that a network can learn: a pattern a class, under noise."""
    spec = SPECS[name]
    rng = np.random.default_rng(0)
    patterns = rng.integers(0, 256, (spec.classes, *spec.shape))

    def draw(samples):
        labels = rng.integers(0, spec.classes, samples).astype("int32")
        noise = rng.integers(0, 256, (samples, *spec.shape))
        return ((patterns[labels] + noise) // 2).astype("uint8"), labels

    return ImageSet(*draw(limit[0]), *draw(limit[1]), spec.classes, "synthetic")


def _read_npz(path, limit):
    try:
        # Opened here, since NumPy leaves the file of a broken archive open.
        with path.open("rb") as file, np.load(file) as archive:
            missing = [key for key in _KEYS if key not in archive]
            if missing:
                raise ExperimentError(
                    f"{path}: must hold {', '.join(_KEYS)}. Received: no {', '.join(missing)}"
                )
            counts = dict(zip(_KEYS, (limit[0], limit[0], limit[1], limit[1])))
            return [np.atleast_1d(archive[key])[:count] for key, count in counts.items()]
    except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ExperimentError(f"{path}: is no readable .npz file ({_first_line(error)})") from error


def _read_tfds(spec, path, limit):
    try:
        tfds = require("tensorflow_datasets", extra="examples", feature="Downloading image sets")
        builder = tfds.builder(spec.tfds, data_dir=path.parent)
        if not builder.is_prepared():
            print(f"No {path}; tensorflow-datasets fetches {spec.tfds!r} into {path.parent}")
        builder.download_and_prepare()
        return [
            array
            for split, count in zip((spec.train, spec.test), limit)
            for array in _collect(builder.as_dataset(split=split), spec, count)
        ]
    # Whatever a download, an archive or a missing package can raise ends in the same advice.
    except Exception as error:
        raise ExperimentError(
            f"No data: neither the file {path} nor {spec.tfds!r} of tensorflow-datasets in "
            f"{path.parent} ({_first_line(error)}). Either put {path.name} there, with "
            f"{', '.join(_KEYS)} as in keras.datasets, or run where there is a network and "
            'pip install "keras_vsoftmax[examples]", which lets tensorflow-datasets fetch it.'
        ) from error


def _collect(dataset, spec, count):
    """Fill arrays batch by batch, so that a set is in memory once."""
    dataset = dataset if count is None else dataset.take(count)
    if spec.resized:
        # Nothing else of an item: boxes and masks have sizes of their own.
        dataset = dataset.map(
            lambda item: {"image": _square(item["image"], spec.shape), "label": item["label"]}
        )
    images = np.empty((int(dataset.cardinality()), *spec.shape), "uint8")
    labels = np.empty(len(images), "int64")
    start = 0
    for batch in dataset.batch(1024).as_numpy_iterator():
        stop = start + len(batch["label"])
        images[start:stop], labels[start:stop] = batch["image"], batch["label"]
        start = stop
    return images, labels


def _square(image, shape):
    import tensorflow as tf

    edge = tf.reduce_min(tf.shape(image)[:2])
    image = tf.image.resize_with_crop_or_pad(image, edge, edge)
    image = tf.image.resize(image, shape[:2], antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(image), 0, 255), "uint8")


def _checked(arrays, spec, source):
    x_train, y_train, x_test, y_test = arrays
    x_train = _checked_images(x_train, spec, f"{source}: x_train")
    x_test = _checked_images(x_test, spec, f"{source}: x_test")
    y_train = _checked_labels(y_train, len(x_train), spec, f"{source}: y_train")
    y_test = _checked_labels(y_test, len(x_test), spec, f"{source}: y_test")
    return ImageSet(x_train, y_train, x_test, y_test, spec.classes, source)


def _checked_images(images, spec, name):
    grey = spec.shape[-1] == 1 and images.shape[1:] == spec.shape[:-1]
    images = images[..., None] if grey else images
    if images.dtype != np.uint8 or images.shape[1:] != spec.shape or not len(images):
        expected = ", ".join(map(str, spec.shape))
        raise ExperimentError(
            f"{name} must be uint8 images of the shape (samples, {expected}). "
            f"Received: {images.dtype} of shape {images.shape}"
        )
    return images


def _checked_labels(labels, samples, spec, name):
    if labels.shape not in ((samples,), (samples, 1)) or labels.dtype.kind not in "iu":
        raise ExperimentError(
            f"{name} must be integer class ids of the shape ({samples},) or ({samples}, 1). "
            f"Received: {labels.dtype} of shape {labels.shape}"
        )
    lowest, highest = labels.min(), labels.max()
    if lowest < 0 or highest >= spec.classes:
        raise ExperimentError(
            f"{name} must be class ids from 0 to {spec.classes - 1}. "
            f"Received: ids from {lowest} to {highest}"
        )
    return labels.reshape(-1).astype("int32")


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class Batches(keras.utils.PyDataset):
    """Shuffled batches of one size, their order a function of the seed and the epoch alone.

    What is left after the last whole batch is left out of that epoch, another part each time.

    Args:
        images: array (samples, ...).
        labels: array (samples,).
        batch_size: at most the number of samples.
        seed: of the shuffling.
    """

    def __init__(self, images, labels, batch_size, seed):
        super().__init__()
        self.images, self.labels = images, labels
        self.batch_size = min(batch_size, len(images))
        self.seed = seed
        self.begin_epoch(0)

    def begin_epoch(self, epoch):
        """Shuffle anew. The epoch is set from outside, since a resumed run starts late."""
        self.order = np.random.default_rng((self.seed, epoch)).permutation(len(self.images))

    def fit_input(self):
        """What `fit` takes, with `shuffle=False`: Keras would shuffle the batches once more."""
        return self

    def __len__(self):
        return len(self.images) // self.batch_size

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size : (index + 1) * self.batch_size]
        return self.images[rows], self.labels[rows]
