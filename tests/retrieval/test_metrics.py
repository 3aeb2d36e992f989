"""Every figure of retrieval against the definitions, on every backend."""

import keras
import numpy as np
import pytest

from keras_vsoftmax.retrieval import neighbours, retrieval_metrics, scores
from tests.retrieval import reference


def _unbalanced(rng, samples=70):
    """Labels of one class of half the samples, some smaller ones, and classes of one."""
    labels = np.concatenate([np.zeros(samples // 2), np.arange(3).repeat(8) + 1])
    rest = samples - len(labels)
    return rng.permutation(np.concatenate([labels, 10 + np.arange(rest)]).astype("int64"))


def _cases():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 60)
    yield "random", rng.normal(size=(60, 6)), labels
    yield "learned", rng.normal(size=(60, 6)) + 2 * np.eye(6)[labels], labels
    yield "perfect", np.eye(5)[labels] * rng.uniform(0.5, 2, (60, 1)), labels
    yield "constant", np.full((60, 6), 0.3), labels
    yield "zero", np.zeros((60, 6)), labels
    yield "tied", rng.integers(0, 2, (60, 3)).astype(float), labels
    unbalanced = _unbalanced(rng)
    yield "unbalanced", rng.normal(size=(70, 4)) + np.eye(4)[unbalanced % 4], unbalanced
    yield "one class", rng.normal(size=(20, 3)), np.zeros(20, int)
    yield "two samples", np.array([[1.0, 2.0], [-3.0, 1.0]]), np.array([4, 4])
    yield "names", rng.normal(size=(30, 3)), np.array(["anna", "ben", "cid"])[labels[:30] % 3]


CASES = {name: (x, y) for name, x, y in _cases()}
# JAX compiles for each shape: the cases that differ by labels alone run on one backend.
ON_ALL = ("learned", "constant", "tied", "unbalanced")
PARAMETERS = [
    pytest.param(name, marks=[pytest.mark.core] if name in ON_ALL else []) for name in CASES
]


def _compare(result, expected, left_out):
    figures = result.to_dict()
    assert figures.keys() == expected.keys()
    for name, value in expected.items():
        assert figures[name] == pytest.approx(value, abs=1e-9), name
    assert result.left_out == left_out


@pytest.mark.parametrize("metric", scores.METRICS)
@pytest.mark.parametrize("case", PARAMETERS)
def test_leave_one_out(case, metric):
    x, y = CASES[case]
    _compare(retrieval_metrics(x, y, metric=metric), *reference.figures(x, y, metric=metric))


@pytest.mark.parametrize("metric", scores.METRICS)
@pytest.mark.parametrize("case", PARAMETERS)
def test_queries_against_a_gallery(case, metric):
    x, y = CASES[case]
    half = len(x) // 2
    args = x[:half], y[:half], x[half:], y[half:]
    result = retrieval_metrics(*args, metric=metric, ks=[1, 3])
    _compare(result, *reference.figures(*args, metric=metric, ks=[1, 3]))
    assert result.queries + result.left_out == half


def test_the_extremes_are_what_they_must_be():
    perfect = retrieval_metrics(*CASES["perfect"]).to_dict()
    assert set(perfect.values()) == {1.0}
    # A collapsed embedding gains nothing from a gallery that lies in the order of its classes.
    x, y = np.ones((40, 8)), np.arange(4).repeat(10)
    collapsed = retrieval_metrics(x, y).to_dict()
    assert collapsed.pop("mrr") == pytest.approx(1 / 31)
    assert set(collapsed.values()) == {0.0}


@pytest.mark.core
def test_blocks_change_nothing(monkeypatch):
    """Classes of many sizes, small blocks, and a gallery that is looked through by groups."""
    rng = np.random.default_rng(1)
    y = np.concatenate([np.zeros(150, int), 1 + np.arange(40).repeat(6), 100 + np.arange(30)])
    y = rng.permutation(y)
    x = rng.normal(size=(len(y), 5)) + np.eye(5)[y % 5]
    whole = retrieval_metrics(x, y)
    monkeypatch.setattr(scores, "BLOCK_BYTES", 4 * len(y) * 7)
    parts = retrieval_metrics(x, y)
    assert whole.to_dict() == parts.to_dict()
    np.testing.assert_array_equal(whole.first_rank, parts.first_rank)
    _compare(parts, *reference.figures(x, y))


def test_single_queries_are_in_the_order_that_was_given():
    x, y = CASES["unbalanced"]
    result = retrieval_metrics(x, y)
    for place, rank, precision in zip(result.kept, result.first_rank, result.r_precisions):
        hits = reference.ranking(x[place], y[place], x, y, "cosine", place)
        assert rank == hits.index(True) + 1
        assert precision == sum(hits[: sum(hits)]) / sum(hits)
    assert list(result.kept) == sorted(result.kept)


def test_other_dtypes_and_scales():
    x, y = CASES["learned"]
    expected = retrieval_metrics(x, y).to_dict()
    assert retrieval_metrics(x.astype("float32"), y[:, None]).to_dict() == expected
    assert retrieval_metrics(x * 1e-30, y.astype(float)).to_dict() == expected
    for scale in (1e25, 1e-25):
        by_distance = retrieval_metrics(x * scale, y, metric="euclidean").to_dict()
        assert by_distance == retrieval_metrics(x, y, metric="euclidean").to_dict()


def test_distances_do_not_feel_where_zero_is():
    x, y = CASES["learned"]
    far = retrieval_metrics(x + 300, y, metric="euclidean").to_dict()
    assert far == retrieval_metrics(x, y, metric="euclidean").to_dict()


@pytest.mark.core
@pytest.mark.parametrize(("columns", "k"), [(40, 1), (64, 5), (40, 30), (997, 1), (997, 30)])
def test_largest(columns, k):
    rng = np.random.default_rng(columns)
    values = rng.normal(size=(6, columns)).astype("float32")
    values[1] = -np.inf
    values[2] = np.round(values[2])
    found = neighbours.largest(keras.ops.convert_to_tensor(values), k)
    np.testing.assert_array_equal(found, -np.sort(-values, axis=1)[:, :k])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(embeddings=np.ones(4)), r"float64 of shape \(4,\)"),
        (dict(labels=np.arange(3)), r"int64 of shape \(3,\)"),
        (dict(labels=[0.5, 1, 2, 3]), "floats that are not integral"),
        (dict(labels=[0, 0, np.nan, -np.inf]), "Received: 2 of 4 with NaN or infinity"),
        (dict(labels=[b"a", b"a", b"\xff", b"b"]), r"bytes in UTF-8. Received: b'\\xff'"),
        (dict(labels=np.array([b"a", "a", "b", "b"], object)), "all text or all bytes"),
        (dict(gallery=np.ones((2, 2))), "only one of them"),
        (dict(gallery=np.ones((0, 2)), gallery_labels=[]), r"of shape \(0, 2\)"),
        (dict(gallery=np.ones((2, 3)), gallery_labels=[0, 1]), "Received: 2 and 3"),
        (dict(gallery=np.ones((2, 2)), gallery_labels=["a", "b"]), "Received: int64 and <U1"),
        (dict(gallery=np.ones((2, 2)), gallery_labels=[7, 8]), "none with one among 2 items"),
        (dict(labels=np.arange(4)), "4 queries, none with one"),
        (dict(metric="manhattan"), "metric='manhattan'"),
        (dict(ks=(0,)), r"ks=\(0,\)"),
        (dict(ks=(True,)), r"ks=\(True,\)"),
        (dict(ks=2), "list or tuple of positive integers. Received: ks=2"),
    ],
)
def test_errors_say_what_was_received(arguments, message):
    usual = dict(embeddings=np.eye(4)[:, :2], labels=np.array([0, 0, 1, 1]))
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(**{**usual, **arguments})


def test_embeddings_that_are_not_finite_are_counted():
    x, y = np.ones((6, 3)), np.arange(6) % 2
    x[1, 2], x[4] = np.nan, np.inf
    with pytest.raises(ValueError, match="Received: 2 of 6 rows with NaN or infinity"):
        retrieval_metrics(x, y)
    with pytest.raises(ValueError, match=r"`gallery` must be finite. Received: 2 of 6 rows"):
        retrieval_metrics(np.ones((2, 3)), y[:2], x, y)


def test_it_prints_as_a_table():
    x, y = CASES["unbalanced"]
    result = retrieval_metrics(x, y)
    lines = str(result).splitlines()
    assert lines[0] == "59 queries on 70 items by cosine, 11 left out"
    assert lines[1].split()[:2] == ["recall@1", "(precision@1)"]
    assert f"{100 * result.map_at_r:.2f} %" in str(result)
    assert len(lines) == 8


@pytest.mark.parametrize(
    "labels",
    [
        ["ann", "bob", "ann", "bob"],
        ["ann", np.str_("bob"), np.str_("ann"), "bob"],
        [b"ann", b"bob", np.bytes_("ann"), b"bob"],
        [7, 2**40, 7, 2**40],
        [np.int64(3), 5, 3, 5],
    ],
)
def test_labels_in_arrays_of_objects(labels):
    x = np.eye(4, 2) + 0.1
    expected = retrieval_metrics(x, [0, 1, 0, 1]).to_dict()
    assert retrieval_metrics(x, np.array(labels, object)).to_dict() == expected
    assert retrieval_metrics(x, np.array(labels)).to_dict() == expected
    with pytest.raises(ValueError, match="class ids or names"):
        retrieval_metrics(x, np.array(["ann", None, "ann", 3], object))


@pytest.mark.core
@pytest.mark.parametrize("length", [1e2, 1e4, 1e6, 1e12])
def test_one_that_is_far_away_changes_nothing_for_the_others(length):
    x, y = CASES["learned"]
    expected = retrieval_metrics(x, y, metric="euclidean").to_dict()
    outlier = np.zeros((1, x.shape[1]))
    outlier[0, 0] = length
    found = retrieval_metrics(np.vstack([x, outlier]), np.append(y, 99), metric="euclidean")
    assert found.left_out == retrieval_metrics(x, y).left_out + 1
    assert found.to_dict() == pytest.approx(expected, abs=1e-6)
