import pytest

from keras_vsoftmax.experiments.report import tables


def test_holm():
    # By hand: 4 x 0.005, 3 x 0.01, 2 x 0.03, then 0.04 raised to the one before.
    found = tables.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005})
    assert found == pytest.approx({"d": 0.02, "a": 0.03, "c": 0.06, "b": 0.06})
    assert tables.holm({"a": 0.7, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    assert tables.holm({}) == {}


@pytest.mark.parametrize("order", ["abc", "bac", "cba"])
def test_holm_takes_differences_that_are_all_zero_for_none(order):
    raw = {"a": float("nan"), "b": 0.001, "c": 0.02}
    found = tables.holm({key: raw[key] for key in order})
    assert found == pytest.approx({"b": 0.003, "c": 0.04, "a": 1.0})
