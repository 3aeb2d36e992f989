"""Pair lists: what the files say, and what is wrong with them."""

import itertools
import os
import pathlib
import tracemalloc

import numpy as np
import pytest

from keras_vsoftmax.verification import Pairs, make_pairs, read_lfw_pairs, read_sllfw_pairs
from keras_vsoftmax.verification.pair_draws import _PossiblePairs

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


@pytest.mark.parametrize("tab", ["\t", "\t\t", " \t "])
def test_names_with_spaces_between_tabs(tmp_path, tab):
    text = TWO_FOLDS.replace("Ada", "Ada King L").replace("\t", tab)
    pairs = read_lfw_pairs(write(tmp_path, text))
    assert pairs.first[:2] == (
        "Ada King L/Ada King L_0001.jpg",
        "Ada King L/Ada King L_0002.jpg",
    )
    assert pairs.second[1] == "Emmy_N/Emmy_N_0013.jpg"


def test_spaces_in_the_place_of_tabs(tmp_path):
    spaced = read_lfw_pairs(write(tmp_path, TWO_FOLDS.replace("\t", "  ")))
    tabbed = read_lfw_pairs(write(tmp_path, TWO_FOLDS))
    assert (spaced.first, spaced.second) == (tabbed.first, tabbed.second)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-8"])
def test_a_byte_order_mark_is_no_part_of_the_list(tmp_path, encoding):
    path = tmp_path / "pairs.txt"
    path.write_bytes(TWO_FOLDS.replace("Ada", "Zoë").encode(encoding))
    assert read_lfw_pairs(path).first[0] == "Zoë/Zoë_0001.jpg"
    path.write_bytes("Zoë/Zoë_0001.png 1\nZoë/Zoë_0002.png 1\n".encode(encoding))
    assert read_sllfw_pairs(path, pairs_per_fold=1).first == ("Zoë/Zoë_0001.png",)


@pytest.mark.parametrize("after", ["\t1", " 1", "", "\t"])
def test_sllfw_names_with_spaces(tmp_path, after):
    lines = [f"Ada King L/Ada King L_0001.jpg{after}", f"Emmy/Emmy_0002.png{after}"]
    pairs = read_sllfw_pairs(write(tmp_path, "\n".join(lines)), pairs_per_fold=1)
    assert pairs.first == ("Ada King L/Ada King L_0001.jpg",)
    assert pairs.second == ("Emmy/Emmy_0002.png",)
    assert pairs.matched.tolist() == [False]


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


@pytest.mark.parametrize("size", [0, -1, 2.5, True])
def test_a_number_of_pairs_that_is_none_is_refused(size):
    images = [f"p{person}/{number}.pgm" for person in range(4) for number in range(3)]
    with pytest.raises(ValueError, match=f"`pairs_per_fold` must .* pairs_per_fold={size}"):
        make_pairs(images, 2, pairs_per_fold=size)


@pytest.mark.parametrize("images", ["lfw/images", {"a": ["a/1.jpg"]}, pathlib.Path("lfw")])
def test_what_is_no_list_of_images_is_refused(images):
    with pytest.raises(ValueError, match="`images` must be a list of paths PERSON/IMAGE"):
        make_pairs(images)
    with pytest.raises(ValueError, match=r"`folds` must be .* Received: folds=0"):
        make_pairs(images, folds=0)


def test_a_fold_without_a_mismatched_pair_is_refused():
    images = [*(f"a/{number}.jpg" for number in range(5)), "b/0.jpg"]
    assert len(make_pairs(images, 5, disjoint=False)) == 10
    with pytest.raises(ValueError, match="Fold 6 has no mismatched pair: there are 5 in all"):
        make_pairs(images, 10, disjoint=False)


@pytest.mark.parametrize("disjoint", [True, False])
def test_paths_are_taken_as_text_is(disjoint):
    images = [f"p{person}/{number}.pgm" for person in range(8) for number in range(3)]
    paths = [pathlib.Path(image) for image in images]
    made, again = (make_pairs(some, 2, disjoint=disjoint) for some in (images, paths))
    assert (made.first, made.second) == (again.first, again.second)
    windows = [pathlib.PureWindowsPath(image.replace("/", "\\")) for image in images]
    assert make_pairs(windows, 2, disjoint=disjoint).first == made.first
    assert Pairs(paths[:1], paths[1:2], [True], [1]).people() == ["p0"]


def test_numbers_of_pairs_go_through_all_of_them():
    groups = [[f"{name}{number}" for number in range(size)] for name, size in
              zip("abcde", (3, 1, 4, 1, 9))]  # fmt: skip
    possible = _PossiblePairs(groups)
    same = [pair for group in groups for pair in itertools.combinations(group, 2)]
    other = [
        pair
        for one, another in itertools.combinations(groups, 2)
        for pair in itertools.product(one, another)
    ]
    assert (possible.matched, possible.mismatched) == (len(same), len(other))
    assert list(zip(*possible.images(np.arange(len(same)), True))) == same
    assert list(zip(*possible.images(np.arange(len(other)), False))) == other


@pytest.mark.parametrize("people", [24, 2400])
@pytest.mark.parametrize("disjoint", [True, False])
def test_few_pairs_of_many_images_take_little_memory(people, disjoint):
    images = [f"p{i % people}/{i // people}.jpg" for i in range(24_000)]
    tracemalloc.start()
    pairs = make_pairs(images, folds=10, pairs_per_fold=30, disjoint=disjoint)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # 288 million pairs are possible: listed, they took gigabytes.
    assert peak < (150e6 if not disjoint else 20e6)
    assert len(set(zip(pairs.first, pairs.second))) == len(pairs) == 600
    names = [(a.split("/")[0], b.split("/")[0]) for a, b in zip(pairs.first, pairs.second)]
    assert [a == b for a, b in names] == pairs.matched.tolist()


@pytest.mark.parametrize(
    ("disjoint", "first", "second"),
    [
        (True, ("p3/1.jpg", "p2/0.jpg", "p3/0.jpg"), ("p3/2.jpg", "p2/2.jpg", "p2/2.jpg")),
        (False, ("p3/1.jpg", "p0/0.jpg", "p3/0.jpg"), ("p3/2.jpg", "p0/1.jpg", "p2/2.jpg")),
    ],
)
def test_the_draws_of_a_seed_stay(disjoint, first, second):
    """Pairs that runs were measured on are drawn again by every later version."""
    images = [f"p{person}/{number}.jpg" for person in range(4) for number in range(3)]
    pairs = make_pairs(images, 2, pairs_per_fold=2, seed=5, disjoint=disjoint)
    assert (pairs.first[:3], pairs.second[:3]) == (first, second)


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
