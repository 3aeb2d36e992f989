"""Labels: which form they have, which of them are valid, and the check of arrays."""

import keras
import numpy as np
import pytest
from keras import ops as kops

from keras_vsoftmax import labels

pytestmark = pytest.mark.core


def test_ids_and_rows_are_told_apart_by_shape():
    assert not labels.is_rows((4,), 3, (4,))
    assert not labels.is_rows((4, 1), 3, (4,))
    assert labels.is_rows((4, 3), 3, (4,))
    assert not labels.is_rows((None, 5), 3, (None, 5))
    assert not labels.is_rows((None, 5, 1), 3, (None, 5))
    assert labels.is_rows((None, 5, 3), 3, (2, None))


@pytest.mark.parametrize("shape", [(), (3,), (4, 2), (4, 3, 1), (4, None)])
def test_a_shape_that_fits_neither_form(shape):
    with pytest.raises(ValueError, match=r"Received: labels.shape=\("):
        labels.is_rows(shape, 3, (4,))


def test_valid_ids():
    read = labels.interpret(kops.convert_to_tensor([0.0, 2.0, 3.0, -1.0, 0.5]), 3, (5,), "float32")
    assert kops.convert_to_numpy(read.valid).tolist() == [True, True, False, False, False]
    assert kops.convert_to_numpy(read.ids).tolist() == [0, 2, 0, 0, 0]


def test_valid_rows():
    rows = np.array([[1, 0], [0.4, 0.6], [1.5, -0.5], [0.4, 0.4], [np.nan, 1]], "float32")
    read = labels.interpret(kops.convert_to_tensor(rows), 2, (5,), "float32")
    assert kops.convert_to_numpy(read.valid).tolist() == [True, True, False, False, False]
    np.testing.assert_allclose(kops.convert_to_numpy(read.rows)[2:], 0.5)


@pytest.mark.parametrize(
    "good",
    [
        [0, 1, 2],
        [[0], [1], [2]],
        np.array([0.0, 2.0]),
        np.array([True, False]),
        np.eye(3),
        np.array([], "int32"),
        np.array([[[0, 1], [2, 2]]]),
    ],
)
def test_arrays_that_pass(good):
    labels.check_array(good, 3)


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ([0, 3], r"whole numbers from 0 to 2\. Received: 3 at index \(1,\)"),
        ([[0], [-1]], r"Received: -1 at index \(1, 0\)"),
        ([0.0, 1.5], r"Received: 1.5 at index \(1,\)"),
        ([0.0, np.nan], r"Received: nan"),
        (["a", "b"], r"Labels must be integers.*dtype <U1"),
        ([[0.5, 0.6, 0.1]], r"Rows of labels must be probabilities.*the sum 1.2"),
        ([[1.5, -0.5, 0.0]], r"Rows of labels must be probabilities.*smallest entry -0.5"),
    ],
)
def test_arrays_that_do_not(bad, text):
    with pytest.raises(ValueError, match=text):
        labels.check_array(bad, 3)


def test_arrays_with_an_ignored_class():
    labels.check_array([0, 255, 2], 3, ignore_class=255)
    with pytest.raises(ValueError, match="or ignore_class=255"):
        labels.check_array([0, 254], 3, ignore_class=255)


@pytest.mark.parametrize("rank", [1, None])
def test_arrays_of_rows_for_a_margin_head(rank):
    labels.check_array(np.eye(3), 3, rank=rank, accept_rows=False)
    labels.check_array(np.eye(3, dtype="uint8"), 3, rank=rank, accept_rows=False)
    for bad in ([[0.5, 0.5, 0.0]], [[0.0, 2.0, -1.0]], [[1.0, 1.0, 0.5]], [[np.nan, 0.0, 1.0]]):
        with pytest.raises(ValueError, match=r"must be one-hot.*Received: at index \(0,\)"):
            labels.check_array(bad, 3, rank=rank, accept_rows=False)


def test_rows_that_are_read_as_ids():
    rows = np.array([[0, 1], [0.4, 0.6], [2, -1], [1, 1], [0, 0], [np.nan, 1], [1, 0]], "float32")
    read = labels.interpret(kops.convert_to_tensor(rows), 2, (7,), "float32", accept_rows=False)
    assert read.rows is None
    assert kops.convert_to_numpy(read.valid).tolist() == [True, *[False] * 5, True]
    assert kops.convert_to_numpy(read.ids)[[0, 6]].tolist() == [1, 0]


NARROW = [("uint8", 256, 255), ("uint8", 300, 255), ("int8", 128, 127), ("int8", 200, 127)]
NARROW += [("uint16", 65536, 65535), ("int16", 32768, 32767), ("uint32", 10, 9)]
NARROW += [("float16", 2049, 2048)]


@pytest.mark.parametrize(("dtype", "units", "largest"), NARROW)
@pytest.mark.parametrize("ignored", [None, -1, 300, 1])
def test_narrow_dtypes_do_not_wrap(dtype, units, largest, ignored):
    """Neither the number of classes nor the ignored id need fit into the dtype of the labels."""
    array = np.array([0, 1, largest], dtype)
    labels.check_array(array, units, ignore_class=ignored)
    read = labels.interpret(
        kops.convert_to_tensor(array), units, (3,), "float32", ignore_class=ignored
    )
    assert kops.convert_to_numpy(read.valid).tolist() == [True] * 3
    ids = [0, 0 if ignored == 1 else 1, largest]
    assert kops.convert_to_numpy(read.ids).tolist() == ids
    if ignored is not None:
        assert kops.convert_to_numpy(read.ignored).tolist() == [False, ignored == 1, False]


@pytest.mark.parametrize(("dtype", "ignored"), [("int8", -1), ("uint8", 255), ("float16", -1)])
def test_ignored_ids_of_narrow_dtypes(dtype, ignored):
    array = np.array([0, ignored, 2]).astype(dtype)
    read = labels.interpret(kops.convert_to_tensor(array), 3, (3,), "float32", ignore_class=ignored)
    assert kops.convert_to_numpy(read.ignored).tolist() == [False, True, False]
    assert kops.convert_to_numpy(read.valid).tolist() == [True] * 3
    read = labels.interpret(kops.convert_to_tensor(array), 3, (3,), "float32")
    assert kops.convert_to_numpy(read.valid).tolist() == [True, False, True]


def test_arrays_of_bfloat16():
    labels.check_array(kops.cast(np.array([0, 256]), "bfloat16"), 257)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="others have no text")
def test_names_are_no_ids():
    with pytest.raises(ValueError, match=r"ids of names\)"):
        labels.interpret(kops.convert_to_tensor(["ann", "bob"]), 3, (2,), "float32")
