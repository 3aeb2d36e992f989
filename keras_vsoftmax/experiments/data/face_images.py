"""Faces in a folder tree, PERSON/IMAGE.jpg: found, checked, and streamed for training."""

import dataclasses
import os
import pathlib

import keras
import numpy as np

from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.verification.images import find_unreadable, load_image
from keras_vsoftmax.verification.pairs import person_of

SUFFIXES = (".jpg", ".jpeg", ".png", ".pgm")

_NAMED = 5  # unreadable images that a message names


@dataclasses.dataclass(frozen=True, eq=False)
class FaceTree:
    """The readable images below a folder, and what was left out.

    Args:
        root: the folder.
        images: tuple of paths below it, `PERSON/IMAGE.jpg`, sorted.
        labels: int32 array (images,), the person's place in `people`.
        people: tuple of names, sorted.
        too_few: how many people were left out for too few images.
        unreadable: dict from the images that cannot be read to the reasons.
    """

    root: pathlib.Path
    images: tuple
    labels: np.ndarray
    people: tuple
    too_few: int
    unreadable: dict

    def __str__(self):
        parts = [f"{self.root}: {len(self.images):,} images of {len(self.people):,} people"]
        if self.too_few:
            parts.append(f"{self.too_few:,} people with too few images left out")
        if self.unreadable:
            named = [f"{image} ({reason})" for image, reason in self.unreadable.items()]
            more = ", ..." if len(named) > _NAMED else ""
            parts.append(f"{len(named):,} unreadable: {', '.join(named[:_NAMED])}{more}")
        return "; ".join(parts)


def read_tree(root, min_images=1, keep=None, most=None, verbose=1):
    """Find the faces below a folder, and decode each once to see that it can be read.

    An image that cannot be read then does not stop a run in its middle; it is left out and named.

    Args:
        root: folder that holds a folder of images for each person. Files with another ending than
            those of `SUFFIXES` are passed over.
        min_images: a person with fewer readable images is left out.
        keep: function of a person's name, false for those to pass over; `None` takes all.
        most: at most so many people are taken, in the order of their names; `None` takes all.
        verbose: 1 shows Keras's progress bar.

    Returns:
        A `FaceTree`.

    Raises:
        ExperimentError: there is no such folder, or no person with enough images in it.
    """
    root = pathlib.Path(root)
    found = _find(root, keep, most)
    paths = [os.path.join(root, image) for image in found]
    reasons = find_unreadable(paths, verbose)
    unreadable = {image: reasons[path] for image, path in zip(found, paths) if path in reasons}
    by_person = {}
    for image in found:
        if image not in unreadable:
            by_person.setdefault(person_of(image), []).append(image)
    kept = {name: images for name, images in by_person.items() if len(images) >= min_images}
    if not kept:
        first = next(iter(unreadable.items()), None)
        raise ExperimentError(
            f"{root}: has no person with {min_images} readable image(s). Received: "
            f"{len(found)} images, {len(unreadable)} of them unreadable"
            + (f", the first {first[0]} ({first[1]})" if first else "")
        )
    return FaceTree(
        root=root,
        images=tuple(image for images in kept.values() for image in images),
        labels=np.repeat(np.arange(len(kept), dtype="int32"), list(map(len, kept.values()))),
        people=tuple(kept),
        too_few=len(by_person) - len(kept),
        unreadable=unreadable,
    )


def _find(root, keep, most):
    try:
        with os.scandir(root) as entries:
            names = sorted(entry.name for entry in entries if entry.is_dir())
        names = list(filter(keep, names))[:most]
        found = [
            f"{name}/{file}"
            for name in names
            for file in sorted(os.listdir(root / name))
            if file.lower().endswith(SUFFIXES)
        ]
    except OSError as error:
        raise ExperimentError(f"{root}: cannot be read ({error})") from error
    if not found:
        raise ExperimentError(
            f"{root}: must hold PERSON/IMAGE with the ending {', '.join(SUFFIXES)}. "
            f"Received: {len(names)} folders without such an image"
        )
    return found


class FaceBatches(keras.utils.PyDataset):
    """Shuffled batches of one size, half of the images mirrored, decoded while they are needed.

    The order and the mirroring are a function of the seed and the epoch alone. What is left after
    the last whole batch is left out of that epoch, another part each time.

    Args:
        tree: a `FaceTree`.
        shape: (height, width, channels) to which images are brought, see `load_image`.
        batch_size: at most the number of images.
        seed: of the draws.
    """

    def __init__(self, tree, shape, batch_size, seed):
        super().__init__(workers=os.cpu_count())
        self.paths = [os.path.join(tree.root, image) for image in tree.images]
        self.labels = tree.labels
        self.shape = tuple(shape)
        self.batch_size = min(batch_size, len(self.paths))
        self.seed = seed
        self.begin_epoch(0)

    def begin_epoch(self, epoch):
        """Draw anew. The epoch is set from outside, since a resumed run starts late."""
        rng = np.random.default_rng((self.seed, epoch))
        self.order = rng.permutation(len(self.paths))[: len(self) * self.batch_size]
        self.mirror = rng.random(len(self.order)) < 0.5

    def __len__(self):
        return len(self.paths) // self.batch_size

    def __getitem__(self, index):
        positions = range(index * self.batch_size, (index + 1) * self.batch_size)
        images, labels = zip(*map(self._load, positions))
        return np.stack(images), np.array(labels)

    def fit_input(self):
        """What `fit` takes: a `tf.data.Dataset` under TensorFlow, this object elsewhere.

        tf.data decodes single images side by side, Keras whole batches.
        """
        if keras.backend.backend() != "tensorflow":
            return self
        import tensorflow as tf

        def load(position):
            # A stateful function would make tf.data go one by one, and not ahead, where operations
            # are deterministic. This one depends on the epoch alone.
            image, label = tf.numpy_function(
                self._load, [position], (tf.uint8, tf.int32), stateful=False
            )
            return tf.ensure_shape(image, self.shape), tf.ensure_shape(label, ())

        images = tf.data.Dataset.range(len(self) * self.batch_size)
        images = images.map(load, num_parallel_calls=tf.data.AUTOTUNE)
        return images.batch(self.batch_size, drop_remainder=True).prefetch(tf.data.AUTOTUNE)

    def _load(self, position):
        index = self.order[position]
        image = load_image(self.paths[index], self.shape)
        return image[:, ::-1] if self.mirror[position] else image, self.labels[index]
