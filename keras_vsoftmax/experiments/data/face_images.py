"""Faces in a folder tree, PERSON/IMAGE.jpg: found, checked, and streamed for training."""

import concurrent.futures
import dataclasses
import os
import pathlib

import keras
import numpy as np

from keras_vsoftmax.experiments.errors import ExperimentError
from keras_vsoftmax.verification.images import find_unreadable, load_image, suffixes
from keras_vsoftmax.verification.pairs import person_of

_NAMED = 5  # unreadable images, or others passed over, that a message names

# What systems and file servers leave, beside the hidden folders and files that begin with a dot.
_LITTER = {
    "#recycle",
    "#snapshot",
    "$recycle.bin",
    "@eadir",
    "__macosx",
    "__pycache__",
    "desktop.ini",
    "ehthumbs.db",
    "icon\r",
    "lost+found",
    "recycler",
    "system volume information",
    "thumbs.db",
}

# Why something below the folder is no image of a person.
_HIDDEN = "hidden or left by the system"
_BESIDE = "beside the people's folders"
_UNASKED = "people not asked for"
_NESTED = "folders in a person's folder"
_NO_IMAGE = "in no format that Pillow reads"


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
        passed_over: dict from a reason to a list of the paths below the folder that were passed
            over for it, as no images of people.
    """

    root: pathlib.Path
    images: tuple
    labels: np.ndarray
    people: tuple
    too_few: int
    unreadable: dict
    passed_over: dict = dataclasses.field(default_factory=dict)

    def without(self, people):
        """The tree without some people, who then count as not asked for. Nothing is decoded."""
        people = set(people)

        def stays(image):
            return person_of(image) not in people

        rows = [row for row, image in enumerate(self.images) if stays(image)]
        passed_over = {
            reason: [path for path in paths if stays(path)]
            for reason, paths in self.passed_over.items()
        }
        passed_over[_UNASKED] = sorted([*passed_over.get(_UNASKED, ()), *people])
        return dataclasses.replace(
            self,
            images=tuple(self.images[row] for row in rows),
            labels=np.unique(self.labels[rows], return_inverse=True)[1].astype("int32"),
            people=tuple(name for name in self.people if name not in people),
            unreadable={image: why for image, why in self.unreadable.items() if stays(image)},
            passed_over={reason: paths for reason, paths in passed_over.items() if paths},
        )

    def __str__(self):
        parts = [f"{self.root}: {len(self.images):,} images of {len(self.people):,} people"]
        if self.too_few:
            parts.append(f"{self.too_few:,} people with too few images left out")
        if self.unreadable:
            named = [f"{image} ({reason})" for image, reason in self.unreadable.items()]
            parts.append(f"{len(named):,} unreadable: {_some(named)}")
        for reason, paths in self.passed_over.items():
            parts.append(f"{len(paths):,} passed over, {reason}: {_some(paths)}")
        return "; ".join(parts)


def read_tree(root, min_images=1, keep=None, most=None, verbose=1, decoded=None):
    """Find the faces below a folder, and decode each once to see that it can be read.

    An image that cannot be read then does not stop a run in its middle; it is left out and named.
    What is an image is for Pillow to say, whatever its name ends in. Hidden folders and files and
    what systems leave (`.ipynb_checkpoints`, `__MACOSX`, `.DS_Store`) are never people or images;
    they are passed over, and counted with the reason, as are other files and folders.

    Args:
        root: folder that holds a folder of images for each person.
        min_images: a person with fewer readable images is left out.
        keep: function of a person's name, false for those to pass over; `None` takes all.
        most: at most so many people are taken, in the order of their names; `None` takes all.
        verbose: 1 shows Keras's progress bar.
        decoded: `DecodedImages` that are to keep what is decoded; `None` keeps nothing.

    Returns:
        A `FaceTree`.

    Raises:
        ExperimentError: there is no such folder, or no person with enough images in it.
    """
    root = pathlib.Path(root)
    passed_over = {}
    found = _find(root, keep, most, passed_over)
    files = [file for of_person in found.values() for file in of_person]
    paths = [os.path.join(root, file) for file in files]
    find = find_unreadable if decoded is None else decoded.find_unreadable
    reasons = find(paths, verbose)
    known = suffixes()
    unreadable = {}
    for file, path in zip(files, paths):
        if path in reasons:
            if os.path.splitext(file)[1].lower() in known:
                unreadable[file] = reasons[path]
            else:
                passed_over.setdefault(_NO_IMAGE, []).append(file)
    left_out = {*unreadable, *passed_over.get(_NO_IMAGE, ())}
    by_person = {
        name: [file for file in of_person if file not in left_out]
        for name, of_person in found.items()
    }
    kept = {name: images for name, images in by_person.items() if len(images) >= min_images}
    if not kept:
        first = next(iter(unreadable.items()), None)
        raise ExperimentError(
            f"{root}: must hold PERSON/IMAGE, and has no person with {min_images} readable "
            f"image(s). Received: {len(found)} folders of people, "
            f"{len(files) - len(left_out) + len(unreadable)} images, {len(unreadable)} of them "
            "unreadable"
            + (f", the first {first[0]} ({first[1]})" if first else "")
            + "".join(f"; {len(paths)} {reason}" for reason, paths in passed_over.items())
        )
    return FaceTree(
        root=root,
        images=tuple(image for images in kept.values() for image in images),
        labels=np.repeat(np.arange(len(kept), dtype="int32"), list(map(len, kept.values()))),
        people=tuple(kept),
        too_few=len(by_person) - len(kept),
        unreadable=unreadable,
        passed_over=passed_over,
    )


def _find(root, keep, most, passed_over):
    """The files of each person, sorted; `passed_over` gets the rest."""

    def pass_over(reason, path):
        passed_over.setdefault(reason, []).append(path)

    try:
        names = []
        for entry in _sorted_entries(root):
            if _is_litter(entry.name):
                pass_over(_HIDDEN, entry.name)
            elif not entry.is_dir():
                pass_over(_BESIDE, entry.name)
            elif (keep is None or keep(entry.name)) and len(names) != most:
                names.append(entry.name)
            else:
                pass_over(_UNASKED, entry.name)
        found = {name: [] for name in names}
        for name in names:
            for entry in _sorted_entries(root / name):
                path = f"{name}/{entry.name}"
                if _is_litter(entry.name):
                    pass_over(_HIDDEN, path)
                elif entry.is_dir():
                    pass_over(_NESTED, path)
                else:
                    found[name].append(path)
    except OSError as error:
        raise ExperimentError(f"{root}: cannot be read ({error})") from error
    return found


def _sorted_entries(folder):
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _is_litter(name):
    return name.startswith(".") or name.lower() in _LITTER


def _some(items):
    return ", ".join(items[:_NAMED]) + (", ..." if len(items) > _NAMED else "")


class FaceBatches(keras.utils.PyDataset):
    """Shuffled batches of one size, half of the images mirrored, decoded while they are needed.

    The order and the mirroring are a function of the seed and the epoch alone. What is left after
    the last whole batch is left out of that epoch, another part each time.

    Args:
        tree: a `FaceTree`.
        shape: (height, width, channels) to which images are brought, see `load_image`.
        batch_size: at most the number of images.
        seed: of the draws.
        decoded: `DecodedImages`, whose images are not decoded again in every epoch; `None` where
            there is no memory for them.
    """

    def __init__(self, tree, shape, batch_size, seed, decoded=None):
        # One worker: what several have made beyond the end of an epoch, Keras (3.15) hands over in
        # the next one, before its own. The images of a batch are decoded side by side.
        super().__init__()
        self._pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
        self.paths = [os.path.join(tree.root, image) for image in tree.images]
        self.labels = tree.labels
        self.shape = tuple(shape)
        self.decoded = decoded
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
        images, labels = zip(*self._pool.map(self._load, positions))
        return np.stack(images), np.array(labels)

    def fit_input(self):
        """What `fit` takes: a `tf.data.Dataset` under TensorFlow, this object elsewhere.

        tf.data decodes the images of later batches while one trains.
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
        load = load_image if self.decoded is None else self.decoded.load
        image = load(self.paths[index], self.shape)
        return image[:, ::-1] if self.mirror[position] else image, self.labels[index]
