"""Pair lists: what the files say, and what is wrong with them."""

import os
import pathlib

import numpy as np
import pytest

from keras_vsoftmax.verification import Pairs, make_pairs, read_lfw_pairs, read_sllfw_pairs

LFW = os.environ.get("KERAS_VSOFTMAX_LFW")

TWO_FOLDS = """2\t1
Ada\t1\t4
Ada\t2\tEmmy_N\t13
Grace\t1\t2
Grace\t1\tHedy\t1
"""


def write(folder, text, name="pairs.txt"):
    path = folder / name
    path.write_text(text)
    return path


def test_lfw_file_reads_as_written(tmp_path):
    pairs = read_lfw_pairs(write(tmp_path, TWO_FOLDS))
    assert pairs.first == (
        "Ada/Ada_0001.jpg",
        "Ada/Ada_0002.jpg",
        "Grace/Grace_0001.jpg",
        "Grace/Grace_0001.jpg",
    )
    assert pairs.second == (
        "Ada/Ada_0004.jpg",
        "Emmy_N/Emmy_N_0013.jpg",
        "Grace/Grace_0002.jpg",
        "Hedy/Hedy_0001.jpg",
    )
    assert pairs.matched.tolist() == [True, False, True, False]
    assert pairs.folds.tolist() == [1, 1, 2, 2]


def test_lfw_header_without_folds_is_one_fold(tmp_path):
    pairs = read_lfw_pairs(write(tmp_path, "1\nAda\t1\t4\nAda\t2\tEmmy\t1\n"))
    assert pairs.folds.tolist() == [1, 1]


def test_lfw_windows_line_ends(tmp_path):
    path = tmp_path / "pairs.txt"
    path.write_bytes(TWO_FOLDS.replace("\n", "\r\n").encode())
    assert read_lfw_pairs(path).second[-1] == "Hedy/Hedy_0001.jpg"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("2\t1\n", "two\t1\n", 1),
        ("2\t1\n", "2\t1\t1\n", 1),
        ("2\t1\n", "0\t1\n", 1),
        ("Ada\t1\t4", "Ada\t1", 2),
        ("Ada\t1\t4", "Ada\t1\tfour", 2),
        ("Ada\t1\t4", "Ada\t0\t4", 2),
        ("Ada\t1\t4", "Ada\t1\tEmmy_N\t4", 2),
        ("Ada\t2\tEmmy_N\t13", "Ada\t2\t13", 3),
        ("Ada\t2\tEmmy_N\t13", "Ada\t2\tAda\t13", 3),
        ("Ada\t2\tEmmy_N\t13", "Ada\t2\tEmmy_N\t-13", 3),
        ("Grace\t1\t2\n", "\n", 4),
        ("Grace\t1\tHedy\t1\n", "", 5),
        ("Grace\t1\tHedy\t1\n", "Grace\t1\tHedy\t1\nGrace\t1\t2\n", 6),
    ],
)
def test_malformed_lfw_line_is_named(tmp_path, old, new, line):
    assert old in TWO_FOLDS
    path = write(tmp_path, TWO_FOLDS.replace(old, new))
    with pytest.raises(ValueError, match=rf"pairs\.txt, line {line}\. Expected: .* Received: "):
        read_lfw_pairs(path)


def test_empty_file_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"pairs\.txt is empty"):
        read_lfw_pairs(write(tmp_path, "\n"))


def test_sllfw_file_reads_as_written(tmp_path):
    text = (
        "Ada/Ada_0001.jpg\t1\nAda/Ada_0002.jpg\t1\n"
        "Ada/Ada_0001.jpg\nGrace/Grace_0001.jpg\n"
        "Hedy/Hedy_0001.jpg\nHedy/Hedy_0003.jpg\n"
        "Hedy/Hedy_0001.jpg\nEmmy/Emmy_0001.jpg\n"
    )
    pairs = read_sllfw_pairs(write(tmp_path, text), pairs_per_fold=2)
    assert pairs.first[2] == "Hedy/Hedy_0001.jpg"
    assert pairs.second[2] == "Hedy/Hedy_0003.jpg"
    assert pairs.matched.tolist() == [True, False, True, False]
    assert pairs.folds.tolist() == [1, 1, 2, 2]


def test_sllfw_folds_hold_600_pairs(tmp_path):
    text = "Ada/Ada_0001.jpg\nAda/Ada_0002.jpg\n" * 1200
    pairs = read_sllfw_pairs(write(tmp_path, text))
    assert np.bincount(pairs.folds).tolist() == [0, 600, 600]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Ada/Ada_0001.jpg\nAda_0002.jpg\n", 2),
        ("Ada/Ada_0001.jpg\nAda/Emmy_0002.jpg\n", 2),
        ("Ada/Ada_0001.jpg\n\nAda/Ada_0002.jpg\n", 2),
        ("Ada/Ada_0001.jpg\nAda/Ada_0002\n", 2),
        ("x/Ada/Ada_0001.jpg\nAda/Ada_0002.jpg\n", 1),
        ("Ada/Ada_0001.jpg\nAda/Ada_0002.jpg\nAda/Ada_0003.jpg\n", 4),
    ],
)
def test_malformed_sllfw_line_is_named(tmp_path, text, line):
    with pytest.raises(ValueError, match=rf"line {line}\. Expected: "):
        read_sllfw_pairs(write(tmp_path, text), pairs_per_fold=1)


def test_selections_keep_pairs_whole():
    pairs = Pairs(
        ("A/1.jpg", "A/1.jpg", "C/1.jpg"),
        ("A/2.jpg", "B/1.jpg", "D/1.jpg"),
        [True, False, False],
        [1, 1, 2],
    )
    assert pairs.images() == ["A/1.jpg", "A/2.jpg", "B/1.jpg", "C/1.jpg", "D/1.jpg"]
    assert pairs.people() == ["A", "B", "C", "D"]
    assert pairs.in_folds([1]).people() == ["A", "B"]
    assert pairs.without(["B"]).second == ("A/2.jpg", "D/1.jpg")
    assert "pair 2 of 3 (fold 1, mismatched): A/1.jpg and B/1.jpg" in pairs.describe(1)


def test_pairs_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"Received: lengths \[1, 1, 2, 1\]"):
        Pairs(("A/1.jpg",), ("A/2.jpg",), [True, False], [1])


def test_made_pairs_are_balanced_true_and_share_no_person_between_folds():
    images = [f"p{person}/{number}.pgm" for person in range(10) for number in range(10)]
    pairs = make_pairs(images, folds=5, seed=3)
    assert len(set(zip(pairs.first, pairs.second))) == len(pairs) == 5 * 2 * 90
    names = [(a.split("/")[0], b.split("/")[0]) for a, b in zip(pairs.first, pairs.second)]
    assert [a == b for a, b in names] == pairs.matched.tolist()
    for fold in range(1, 6):
        inside = pairs.in_folds([fold])
        assert inside.matched.sum() == 90
        assert len(inside.people()) == 2
        assert not set(inside.people()) & set(pairs.select(pairs.folds != fold).people())


def test_made_pairs_of_few_people_use_all_of_them():
    images = [f"p{person}/{number}.pgm" for person in range(10) for number in range(10)]
    pairs = make_pairs(images, folds=10, disjoint=False)
    assert len(set(zip(pairs.first, pairs.second))) == len(pairs) == 900
    people = [(a.split("/")[0], b.split("/")[0]) for a, b in zip(pairs.first, pairs.second)]
    assert [a == b for a, b in people] == pairs.matched.tolist()
    assert len({pair for pair in people if pair[0] != pair[1]}) == 45
    for fold in range(1, 11):
        inside = pairs.in_folds([fold])
        assert (len(inside), inside.matched.sum()) == (90, 45)


def test_first_of_each_kind_in_each_fold():
    images = [f"p{person}/{number}.pgm" for person in range(4) for number in range(5)]
    pairs = make_pairs(images, folds=2)
    few = pairs.first_of_each(3)
    assert few.folds.tolist() == [1] * 6 + [2] * 6
    assert few.matched.tolist() == ([True] * 3 + [False] * 3) * 2
    assert few.first[:3] == pairs.first[:3]


def test_made_pairs_follow_the_seed_and_the_limit():
    images = [f"p{person}/{number}.pgm" for person in range(4) for number in range(5)]
    one, two, other = (make_pairs(images, 2, pairs_per_fold=7, seed=seed) for seed in (1, 1, 2))
    assert (one.first, one.second) == (two.first, two.second)
    assert (one.first, one.second) != (other.first, other.second)
    assert len(one) == 28


def test_pairs_that_cannot_be_made_are_an_error():
    with pytest.raises(ValueError, match="folds=2 for images of 3 people"):
        make_pairs(["a/1.jpg", "b/1.jpg", "c/1.jpg"], folds=2)
    with pytest.raises(ValueError, match="Fold 1 has no matched pair"):
        make_pairs(["a/1.jpg", "b/1.jpg"], folds=1)


@pytest.mark.skipif(not LFW, reason="KERAS_VSOFTMAX_LFW does not name a folder with LFW")
def test_distributed_pairs_file():
    root = pathlib.Path(LFW)
    pairs = read_lfw_pairs(root / "pairs.txt")
    assert len(pairs) == 6000
    for fold in range(1, 11):
        inside = pairs.in_folds([fold])
        assert (len(inside), inside.matched.sum()) == (600, 300)
        assert not set(inside.people()) & set(pairs.select(pairs.folds != fold).people())
    assert len(pairs.images()) == 7701
    assert all((root / "images" / image).is_file() for image in pairs.images())
