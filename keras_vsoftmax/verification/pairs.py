"""Lists of face pairs: LFW's and SLLFW's files, and pairs made from any folder of people."""

import collections
import dataclasses
import itertools
import pathlib

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of images with the truth about each and the fold it belongs to.

    Args:
        first: paths of the first images, relative to the root of the images, `NAME/NAME_0001.jpg`.
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
        for name, kind in (("first", tuple), ("second", tuple)):
            object.__setattr__(self, name, kind(getattr(self, name)))
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

    def describe(self, index):
        """A pair in words, for messages."""
        kind = "matched" if self.matched[index] else "mismatched"
        return (
            f"pair {index + 1} of {len(self)} (fold {self.folds[index]}, {kind}): "
            f"{self.first[index]} and {self.second[index]}"
        )


def person_of(image):
    """The person in `PERSON/IMAGE.jpg`."""
    return image.rpartition("/")[0]


def read_lfw_pairs(path):
    """Read a pairs file of Labeled Faces in the Wild.

    The first line is `FOLDS<tab>N`, or `N` alone for one fold (as in `pairsDevTest.txt`). Each
    fold is N matched pairs, `NAME<tab>I<tab>J`, then N mismatched ones,
    `NAME<tab>I<tab>OTHER<tab>J`; image I of NAME is `NAME/NAME_000I.jpg`.

    Args:
        path: the file, `pairs.txt` for LFW's View 2 (10 folds, N = 300).

    Returns:
        `Pairs`, in the order of the file.

    Raises:
        ValueError: a line is not as above; the message has the file, the line number and the line.

    Source: G. Huang et al., "Labeled Faces in the Wild", Univ. of Massachusetts TR 07-49, 2007.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "pairs.txt"
    >>> _ = path.write_text("1\\t1\\nAda\\t1\\t2\\nAda\\t1\\tEmmy\\t3\\n")
    >>> pairs = read_lfw_pairs(path)
    >>> pairs.second, pairs.matched.tolist()
    (('Ada/Ada_0002.jpg', 'Emmy/Emmy_0003.jpg'), [True, False])
    """
    lines = _lines(path)
    header = lines[0].split()
    if len(header) not in (1, 2) or not all(_is_count(field) for field in header):
        raise _malformed(path, 1, "the number of folds and of pairs a fold", lines[0])
    folds, size = (1, int(header[0])) if len(header) == 1 else map(int, header)

    first, second, matched, fold_of = [], [], [], []
    for number, line in enumerate(lines[1:], start=2):
        fold, position = divmod(number - 2, 2 * size)
        if fold == folds:
            raise _malformed(path, number, f"no more than {2 * size * folds} pairs", line)
        is_matched = position < size
        fields = line.split()
        if is_matched:
            if len(fields) != 3 or not _is_count(fields[1]) or not _is_count(fields[2]):
                raise _malformed(path, number, "a matched pair, NAME I J", line)
            left, right = (fields[0], fields[1]), (fields[0], fields[2])
        else:
            if (
                len(fields) != 4
                or not _is_count(fields[1])
                or not _is_count(fields[3])
                or fields[0] == fields[2]
            ):
                raise _malformed(path, number, "a mismatched pair, NAME I OTHER J", line)
            left, right = (fields[0], fields[1]), (fields[2], fields[3])
        first.append(_lfw_image(*left))
        second.append(_lfw_image(*right))
        matched.append(is_matched)
        fold_of.append(fold + 1)
    if len(first) != 2 * size * folds:
        raise _malformed(
            path, len(lines) + 1, f"{2 * size * folds} pairs; there are {len(first)}", "the end"
        )
    return Pairs(first, second, matched, fold_of)


def read_sllfw_pairs(path, pairs_per_fold=600):
    """Read `pair_SLLFW.txt`, the list of Similar-Looking LFW.

    Two lines a pair, each starting `NAME/NAME_0001.jpg`; what follows on a line is not read. A pair
    is matched when both names agree. The first `pairs_per_fold` pairs are fold 1, and so on.

    Args:
        path: the file.
        pairs_per_fold: int, how many pairs a fold has.

    Returns:
        `Pairs`, in the order of the file.

    Raises:
        ValueError: a line is not as above, or the pairs do not fill whole folds; the message has
            the file, the line number and the line.

    Source: W. Deng et al., "Fine-grained face verification: FGLFW database, baselines, and
    human-DCMN partnership", Pattern Recognition 66, 2017.

    Example:

    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "pair_SLLFW.txt"
    >>> _ = path.write_text("Ada/Ada_0001.jpg 1\\nEmmy/Emmy_0003.jpg 1\\n")
    >>> read_sllfw_pairs(path, pairs_per_fold=1).matched.tolist()
    [False]
    """
    lines = _lines(path)
    images = []
    for number, line in enumerate(lines, start=1):
        image = line.split()[0] if line.split() else ""
        person, _, name = image.partition("/")
        if not person or not name.startswith(f"{person}_") or "/" in name or "." not in name:
            raise _malformed(path, number, "NAME/NAME_NNNN.jpg", line)
        images.append(image)
    if len(images) % (2 * pairs_per_fold):
        raise _malformed(
            path,
            len(lines) + 1,
            f"a multiple of {pairs_per_fold} pairs, two lines each; there are {len(images)} lines",
            "the end",
        )
    first, second = images[::2], images[1::2]
    return Pairs(
        first,
        second,
        [person_of(a) == person_of(b) for a, b in zip(first, second)],
        np.arange(len(first)) // pairs_per_fold + 1,
    )


def make_pairs(images, folds=10, pairs_per_fold=None, seed=0, disjoint=True):
    """Draw pairs from any set of people, after LFW's plan.

    Each fold has as many matched pairs as mismatched ones, drawn without repetition.

    Args:
        images: paths `PERSON/IMAGE.jpg`.
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
        ValueError: there are fewer than two people a fold, or a fold has no matched pair.

    Example:

    >>> images = [f"{person}/{i}.jpg" for person in "abcd" for i in range(3)]
    >>> pairs = make_pairs(images, folds=2)
    >>> len(pairs), int(pairs.matched.sum())
    (24, 12)
    """
    by_person = {}
    for image in sorted(images):
        by_person.setdefault(person_of(image), []).append(image)
    needed = 2 * folds if disjoint else 2
    if folds < 1 or len(by_person) < needed:
        raise ValueError(
            f"{folds} folds need {needed} people. "
            f"Received: folds={folds} for images of {len(by_person)} people"
        )
    rng = np.random.default_rng(seed)
    groups = [by_person[person] for person in rng.permutation(sorted(by_person))]
    dealt = (
        [_all_pairs(groups[fold::folds]) for fold in range(folds)]
        if disjoint
        else zip(*(_deal(kind, folds, rng) for kind in _all_pairs(groups)))
    )
    pairs, matched, fold_of = [], [], []
    for fold, (same, other) in enumerate(dealt, start=1):
        if not same:
            raise ValueError(
                f"Fold {fold} has no matched pair: too few people have two images. "
                f"Received: folds={folds} for images of {len(by_person)} people"
            )
        size = min(len(same), len(other), pairs_per_fold or len(same))
        for choices, is_matched in ((same, True), (other, False)):
            drawn = np.sort(rng.choice(len(choices), size, replace=False))
            pairs += [choices[i] for i in drawn]
            matched += [is_matched] * size
            fold_of += [fold] * size
    return Pairs([a for a, _ in pairs], [b for _, b in pairs], matched, fold_of)


def _all_pairs(groups):
    """The matched and the mismatched pairs of some people, each a list of their images."""
    same = [pair for group in groups for pair in itertools.combinations(group, 2)]
    other = [
        pair
        for one, another in itertools.combinations(groups, 2)
        for pair in itertools.product(one, another)
    ]
    return same, other


def _deal(pairs, folds, rng):
    order = rng.permutation(len(pairs))
    return [[pairs[i] for i in np.sort(order[fold::folds])] for fold in range(folds)]


def _lines(path):
    try:
        lines = pathlib.Path(path).read_text(encoding="utf-8").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no list of pairs, which is UTF-8 text ({error})") from error
    if lines == [""]:
        raise ValueError(f"{path} is empty. Expected: a list of pairs")
    return [line.rstrip("\r") for line in lines]


def _is_count(field):
    return field.isascii() and field.isdigit() and int(field) > 0


def _lfw_image(person, number):
    return f"{person}/{person}_{int(number):04d}.jpg"


def _malformed(path, number, expected, received):
    return ValueError(f"{path}, line {number}. Expected: {expected}. Received: {received!r}")
