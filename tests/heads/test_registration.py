"""Every head of the package is imported, and says in its config what it was made with."""

import importlib
import inspect
import pkgutil

import pytest

from keras_vsoftmax import heads

OURS = [name for name in heads.NAMES if heads.find(name).__module__.startswith("keras_vsoftmax.")]


@pytest.mark.parametrize("name", OURS)
def test_every_argument_is_in_the_config(name):
    head = heads.find(name)
    arguments = inspect.signature(head.__init__).parameters.values()
    named = {argument.name for argument in arguments if argument.kind == argument.KEYWORD_ONLY}
    assert not named - set(head(5).get_config())


@pytest.mark.parametrize("name", OURS)
def test_a_knob_off_its_default_survives_the_config(name):
    head = heads.find(name)
    for knob, values in head.ranges.items():
        other = next(value for value in values if value != getattr(head(5), knob))
        again = head.from_config(head(5, **{knob: other}).get_config())
        assert getattr(again, knob) == other, knob


def test_every_file_of_a_head_is_imported():
    for found in pkgutil.iter_modules(heads.__path__, "keras_vsoftmax.heads."):
        for value in vars(importlib.import_module(found.name)).values():
            if isinstance(value, type) and issubclass(value, heads.Head) and value.title:
                assert getattr(heads, value.__name__, None) is value


@pytest.mark.parametrize("name", OURS)
def test_no_knob_is_infinite(name):
    for knob in heads.find(name).ranges:
        with pytest.raises(ValueError, match=f"{knob}=inf"):
            heads.get(name, 5, **{knob: float("inf")})
