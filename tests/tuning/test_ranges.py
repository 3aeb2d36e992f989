import keras_tuner
import pytest

from keras_vsoftmax import heads
from keras_vsoftmax.tuning import ranges

pytestmark = pytest.mark.core


def test_every_head_has_its_default_ranges_and_accepts_them():
    assert set(ranges.KNOBS) == set(heads.NAMES)
    ranges.resolve(10, heads.NAMES, {})


@pytest.mark.parametrize("head", heads.NAMES)
def test_the_heads_own_default_lies_in_the_range_and_comes_first(head):
    hp = keras_tuner.HyperParameters()
    for knob, values in ranges.KNOBS[head].items():
        default = ranges.head_default(head, 10, knob)
        assert default is not None
        assert ranges.declare(hp, knob, knob, values, default) == default


def test_overrides_replace_the_default_and_none_removes_it():
    training, knobs = ranges.resolve(
        10,
        ("arcface", "virtual"),
        {
            "arcface_margin": [0.3, 0.4],
            "arcface_scale": None,
            "batch_size": 32,
            "weight_decay": None,
            "virtual_label_smoothing": (0.0, 0.2),
        },
    )
    assert knobs == {
        "arcface": {"margin": [0.3, 0.4]},
        "virtual": {"label_smoothing": (0.0, 0.2)},
    }
    assert training == {
        "embedding": ranges.TRAINING["embedding"],
        "learning_rate": ranges.TRAINING["learning_rate"],
        "batch_size": 32,
    }
    assert "weight_decay" in ranges.TRAINING  # the defaults themselves stay as they were


def test_the_longest_head_name_is_meant():
    _, knobs = ranges.resolve(10, ("angular", "angular_normface"), {"angular_normface_scale": 20})
    assert knobs["angular_normface"]["scale"] == 20
    assert knobs["angular"] == ranges.KNOBS["angular"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"arcface_margin": (0.6, 0.2)}, r"empty.*arcface_margin=\(0.6, 0.2\)"),
        ({"arcface_margin": (0.3, 0.3)}, "empty"),
        ({"batch_size": []}, r"nothing to choose from.*batch_size=\[\]"),
        ({"batch_size": [32, 32]}, "twice"),
        ({"batch_size": [32.5]}, "integers of at least 1"),
        ({"embedding": (0, 8)}, "integers of at least 1"),
        ({"learning_rate": (1e-3, float("nan"))}, "finite"),
        ({"learning_rate": (1e-3, 1e-2, 1e-1)}, r"\(low, high\)"),
        ({"learning_rate": "fast"}, "expected a tuple"),
        ({"learning_rate": True}, "expected a tuple"),
        ({"arcface_margin": (0.1, 2.0)}, r"refuses margin=2.0.*arcface_margin=\(0.1, 2.0\)"),
        ({"arcface_sharpness": 1.0}, "refuses sharpness"),
        ({"arcface_seed": 1}, "refuses seed"),
        ({"cosface_margin": 0.1}, "not searched"),
        ({"arcfase_margin": 0.1}, "Known are: embedding.*arcface_margin.*'arcfase_margin'"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_what_was_received(given, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        ranges.resolve(10, ("arcface", "softmax"), given)


def test_a_fraction_between_whole_margins_is_refused():
    with pytest.raises(ValueError, match=r"refuses margin=2\.5"):
        ranges.resolve(10, ("large_margin",), {"large_margin_margin": (1.0, 4.0)})


def test_kinds_of_hyperparameters():
    hp = keras_tuner.HyperParameters()
    ranges.declare(hp, "a", "margin", (2, 4))
    ranges.declare(hp, "b", "margin", (0.1, 0.5))
    ranges.declare(hp, "c", "learning_rate", (1e-4, 1e-2))
    ranges.declare(hp, "d", "batch_size", [8, 16], 16)
    ranges.declare(hp, "e", "margin", 0.3)
    ranges.declare(hp, "f", "margin", [0, 0.5])
    ranges.declare(hp, "g", "margin", (0, 1), 0.5)
    ranges.declare(hp, "h", "margin", (1, 4), 2)
    kinds = {entry.name: type(entry).__name__ for entry in hp.space}
    assert kinds == {
        "a": "Int",
        "b": "Float",
        "c": "Float",
        "d": "Choice",
        "e": "Fixed",
        "f": "Choice",
        "g": "Float",
        "h": "Int",
    }
    assert [entry.sampling for entry in hp.space[:3]] == ["linear", "linear", "log"]
    first = {"a": 2, "b": 0.1, "c": 1e-4, "d": 16, "e": 0.3, "f": 0.0, "g": 0.5, "h": 2}
    assert hp.values == first
