"""docs/heads.md and docs/writing_a_head.md say what the heads say."""

import pathlib
import re

import pytest

from keras_vsoftmax import heads

DOCS = pathlib.Path(__file__).parents[2] / "docs"
TABLE = re.findall(r"^\| `(\w+)` \| (.*)$", (DOCS / "heads.md").read_text(), re.MULTILINE)
ROWS = dict(reversed(TABLE))  # the first of each name
OURS = [name for name in heads.NAMES if heads.find(name).__module__.startswith("keras_vsoftmax.")]


@pytest.mark.parametrize("name", OURS)
def test_each_head_has_its_row(name):
    head = heads.find(name)
    assert name in ROWS, f"docs/heads.md has no row for `{name}`"
    assert head.formula in ROWS[name], f"the row of `{name}` must hold {head.formula!r}"
    for knob in head.ranges:
        assert f"`{knob}`" in ROWS[name] or "as `" in ROWS[name]
    docstring = " ".join(head.__doc__.split())
    assert "Source:" in docstring or name == "softmax"
    year = re.search(r"20\d\d", head.source)
    assert year is None or year[0] in docstring


def test_the_page_about_a_new_head_runs():
    (snippet,) = re.findall(r"```python\n(.*?)```", (DOCS / "writing_a_head.md").read_text(), re.S)
    exec(compile(snippet, "snippet", "exec"), {"__name__": "__snippet__"})
    assert heads.find("gap").title == "Gap Softmax"


def test_the_page_names_every_term_and_hook():
    text = (DOCS / "writing_a_head.md").read_text()
    hooks = ("training_terms", "plain_logits", "add_state", "run_knobs", "targets")
    for name in (*heads.Terms._fields, *hooks, "check_compile"):
        assert f"`{name}" in text
