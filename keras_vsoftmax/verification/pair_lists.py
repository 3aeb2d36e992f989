"""The files in which LFW and SLLFW list their pairs."""

import codecs
import pathlib
import re

import numpy as np

from keras_vsoftmax.verification.pairs import Pairs, person_of

# A name may have spaces in it, `Ada L/Ada L_0001.jpg`.
_SLLFW_IMAGE = re.compile(r"([^/]+)/\1_[^/\s]*\.[^/\s]*(?!\S)")


def read_lfw_pairs(path):
    """Read a pairs file of Labeled Faces in the Wild.

    The first line is `FOLDS<tab>N`, or `N` alone for one fold (as in `pairsDevTest.txt`). Each
    fold is N matched pairs, `NAME<tab>I<tab>J`, then N mismatched ones,
    `NAME<tab>I<tab>OTHER<tab>J`; image I of NAME is `NAME/NAME_000I.jpg`. Between tabs a name may
    have spaces in it; without tabs, spaces separate. UTF-8, or UTF-16 with a byte-order mark.

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
        fields = _fields(line, 3 if is_matched else 4)
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
    is matched when both names agree. The first `pairs_per_fold` pairs are fold 1, and so on. Names
    may have spaces in them. UTF-8, or UTF-16 with a byte-order mark.

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
        image = _SLLFW_IMAGE.match(line.strip())
        if image is None:
            raise _malformed(path, number, "NAME/NAME_NNNN.jpg", line)
        images.append(image[0])
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


def _lines(path):
    content = pathlib.Path(path).read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        lines = content.decode("utf-16" if wide else "utf-8-sig").rstrip().split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no list of pairs, which is UTF-8 text ({error})") from error
    if lines == [""]:
        raise ValueError(f"{path} is empty. Expected: a list of pairs")
    return [line.rstrip("\r") for line in lines]


def _fields(line, count):
    """The fields between tabs, where there are so many, and those between spaces elsewhere."""
    fields = [field.strip() for field in line.split("\t") if field.strip()]
    return fields if len(fields) == count else line.split()


def _is_count(field):
    return field.isascii() and field.isdigit() and int(field) > 0


def _lfw_image(person, number):
    return f"{person}/{person}_{int(number):04d}.jpg"


def _malformed(path, number, expected, received):
    return ValueError(f"{path}, line {number}. Expected: {expected}. Received: {received!r}")
