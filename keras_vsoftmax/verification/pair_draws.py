"""Pairs drawn from any set of people, after LFW's plan."""

import collections.abc
import os

import numpy as np

from keras_vsoftmax.utils.counts import check_count, is_count
from keras_vsoftmax.verification.pairs import Pairs, as_text, person_of

# Beyond so many pairs an order of all of them would take hundreds of megabytes.
_SHUFFLED = 2**22


def make_pairs(images, folds=10, pairs_per_fold=None, seed=0, disjoint=True):
    """Draw pairs from any set of people, after LFW's plan.

    Each fold has as many matched pairs as mismatched ones, drawn without repetition. Memory grows
    with the images and with the pairs that are drawn, not with all that could be.

    Args:
        images: paths `PERSON/IMAGE.jpg`, text or `pathlib.Path`.
        folds: int, how many folds.
        pairs_per_fold: int, how many matched and how many mismatched pairs a fold has at most;
            `None` takes all matched pairs.
        seed: int, of the draws.
        disjoint: whether people are dealt to the folds, so that none is in two of them, as in
            LFW. With few people that leaves few pairs of two people; if false, pairs are drawn
            from all people and then dealt.

    Returns:
        `Pairs`; in each fold the matched ones come first.

    Raises:
        ValueError: there are fewer than two people a fold, a fold has no matched or no mismatched
            pair, or `pairs_per_fold` is no integer of at least 1.

    Example:

    >>> images = [f"{person}/{i}.jpg" for person in "abcd" for i in range(3)]
    >>> pairs = make_pairs(images, folds=2)
    >>> len(pairs), int(pairs.matched.sum())
    (24, 12)
    """
    if pairs_per_fold is not None and not is_count(pairs_per_fold):
        raise ValueError(
            "`pairs_per_fold` must be an integer of at least 1, or None. "
            f"Received: pairs_per_fold={pairs_per_fold!r}"
        )
    check_count("folds", folds)
    if isinstance(images, (str, bytes, os.PathLike, collections.abc.Mapping)):
        raise ValueError(
            "`images` must be a list of paths PERSON/IMAGE, such as the `images` of a folder that "
            f"was read. Received: images={images!r:.80}"
        )
    by_person = {}
    for image in sorted(map(as_text, images)):
        by_person.setdefault(person_of(image), []).append(image)
    needed = 2 * folds if disjoint else 2
    if len(by_person) < needed:
        raise ValueError(
            f"{folds} folds need {needed} people. "
            f"Received: folds={folds} for images of {len(by_person)} people"
        )
    rng = np.random.default_rng(seed)
    groups = [by_person[person] for person in rng.permutation(sorted(by_person))]
    if disjoint:
        dealt = []
        for fold in range(folds):
            possible = _PossiblePairs(groups[fold::folds])
            dealt.append((possible, range(possible.matched), range(possible.mismatched)))
    else:
        possible = _PossiblePairs(groups)
        same, other = (_deal(n, folds, rng) for n in (possible.matched, possible.mismatched))
        dealt = [(possible, *numbers) for numbers in zip(same, other)]

    first, second, matched, fold_of = [], [], [], []
    for fold, (possible, same, other) in enumerate(dealt, start=1):
        if not len(same):
            raise ValueError(
                f"Fold {fold} has no matched pair: too few people have two images. "
                f"Received: folds={folds} for images of {len(by_person)} people"
            )
        if not len(other):
            raise ValueError(
                f"Fold {fold} has no mismatched pair: there are {possible.mismatched} in all. "
                f"Received: folds={folds} for images of {len(by_person)} people"
            )
        most = len(same) if pairs_per_fold is None else pairs_per_fold
        size = min(len(same), len(other), most)
        for numbers, is_matched in ((same, True), (other, False)):
            drawn = np.sort(rng.choice(len(numbers), size, replace=False))
            numbers = np.array([numbers[i] for i in drawn])
            a, b = possible.images(numbers, is_matched)
            first += a
            second += b
            matched += [is_matched] * size
            fold_of += [fold] * size
    return Pairs(first, second, matched, fold_of)


class _PossiblePairs:
    """All pairs of some people's images by their numbers, none of them held in memory.

    Matched pairs go person by person, `(0, 1), (0, 2), ..., (1, 2), ...`. Mismatched ones go
    through the first person with each later one, then the second with each later one; within two
    people through the images of the one, and for each through those of the other.
    """

    def __init__(self, groups):
        self.flat = [image for group in groups for image in group]
        self.sizes = np.array([len(group) for group in groups])
        self.starts = _starts(self.sizes)
        later = len(self.flat) - self.starts[1:]
        self.matched_before = _starts(self.sizes * (self.sizes - 1) // 2)
        self.mismatched_before = _starts(self.sizes * later)
        self.matched = int(self.matched_before[-1])
        self.mismatched = int(self.mismatched_before[-1])

    def images(self, numbers, matched):
        """The two images of each number, as two lists."""
        rows = self._matched(numbers) if matched else self._mismatched(numbers)
        return ([self.flat[row] for row in side] for side in rows)

    def _matched(self, numbers):
        person = _last_before(self.matched_before, numbers)
        rest, size = numbers - self.matched_before[person], self.sizes[person]
        # Image i has the pairs from i (2 size - i - 1) / 2 on: the root of that, mended where
        # floating point rounds it.
        a = 2 * size - 1
        one = ((a - np.sqrt(a**2 - 8.0 * rest)) / 2).astype(int)
        one -= _triangle(one, size) > rest
        one += _triangle(one + 1, size) <= rest
        other = rest - _triangle(one, size) + one + 1
        return self.starts[person] + one, self.starts[person] + other

    def _mismatched(self, numbers):
        person = _last_before(self.mismatched_before, numbers)
        rest, size = numbers - self.mismatched_before[person], self.sizes[person]
        # Where the later images begin, and which of them stands for the other person.
        begin = self.starts[person + 1]
        another = _last_before(self.starts, begin + rest // size)
        rest = rest - size * (self.starts[another] - begin)
        one, other = np.divmod(rest, self.sizes[another])
        return self.starts[person] + one, self.starts[another] + other


def _starts(sizes):
    return np.concatenate([[0], np.cumsum(sizes)])


def _last_before(starts, numbers):
    """For each number the place whose part it lies in; empty parts hold none."""
    return np.searchsorted(starts, numbers, side="right") - 1


def _triangle(image, size):
    """How many pairs of a person come before those that begin with an image."""
    return image * (2 * size - image - 1) // 2


def _deal(count, folds, rng):
    """The numbers below `count`, dealt to the folds: in any order, or in turn where it is long."""
    if count > _SHUFFLED:
        return [range(count)[fold::folds] for fold in range(folds)]
    order = rng.permutation(count)
    return [np.sort(order[fold::folds]) for fold in range(folds)]
