"""Pairs of face images, with the truth about each and its fold."""

import collections
import dataclasses
import pathlib

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of images with the truth about each and the fold it belongs to.

    Args:
        first: paths of the first images, text or `pathlib.Path`, relative to the root of the
            images, `NAME/NAME_0001.jpg`; they are kept as text.
        second: paths of the second images.
        matched: bool array (pairs,), true where both images show the same person.
        folds: int array (pairs,), the fold of each pair, counted from 1 as in LFW's papers.

    Example:

    >>> pairs = Pairs(("A/A_0001.jpg",), ("B/B_0001.jpg",), [False], [1])
    >>> len(pairs), pairs.people()
    (1, ['A', 'B'])
    """

    first: tuple
    second: tuple
    matched: np.ndarray
    folds: np.ndarray

    def __post_init__(self):
        for name in ("first", "second"):
            object.__setattr__(self, name, tuple(map(as_text, getattr(self, name))))
        for name, dtype in (("matched", bool), ("folds", int)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype))
        sizes = [len(getattr(self, field.name)) for field in dataclasses.fields(self)]
        if len(set(sizes)) != 1:
            raise ValueError(
                "`first`, `second`, `matched` and `folds` must have one length. "
                f"Received: lengths {sizes}"
            )

    def __len__(self):
        return len(self.first)

    def images(self):
        """Every image that some pair names, once, sorted."""
        return sorted({*self.first, *self.second})

    def people(self):
        """Every person that some pair names, once, sorted."""
        return sorted({person_of(image) for image in self.images()})

    def select(self, mask):
        """The pairs where `mask`, a bool array (pairs,), is true."""
        keep = np.flatnonzero(np.asarray(mask, bool))
        return Pairs(
            tuple(self.first[i] for i in keep),
            tuple(self.second[i] for i in keep),
            self.matched[keep],
            self.folds[keep],
        )

    def in_folds(self, folds):
        """The pairs of the folds given."""
        return self.select(np.isin(self.folds, list(folds)))

    def first_of_each(self, count):
        """The first `count` matched and the first `count` mismatched pairs of each fold."""
        seen = collections.Counter()
        keep = []
        for kind in zip(self.folds.tolist(), self.matched.tolist()):
            seen[kind] += 1
            keep.append(seen[kind] <= count)
        return self.select(keep)

    def without(self, people):
        """The pairs that name none of `people`."""
        people = set(people)
        return self.select(
            [
                person_of(a) not in people and person_of(b) not in people
                for a, b in zip(self.first, self.second)
            ]
        )

    def renamed(self, names):
        """The pairs with other names for some images, by a dict from the old ones."""
        first, second = ([names.get(a, a) for a in side] for side in (self.first, self.second))
        return dataclasses.replace(self, first=first, second=second)

    def describe(self, index):
        """A pair in words, for messages."""
        kind = "matched" if self.matched[index] else "mismatched"
        return (
            f"pair {index + 1} of {len(self)} (fold {self.folds[index]}, {kind}): "
            f"{self.first[index]} and {self.second[index]}"
        )


def check_pairs(pairs):
    """Raises a ValueError unless these are `Pairs`."""
    if not isinstance(pairs, Pairs):
        raise ValueError(
            "`pairs` must be Pairs, as read_lfw_pairs reads them from a file. "
            f"Received: pairs={pairs!r}"
        )


def as_text(image):
    """An image's path as text with `/` between folder and file, on every system."""
    return image.as_posix() if isinstance(image, pathlib.PurePath) else image


def person_of(image):
    """The person in `PERSON/IMAGE.jpg`."""
    return image.rpartition("/")[0]
