"""The house: imports that run one way, files of a readable length, a picture that is true."""

import graphlib
import re

import pytest

from docs import draw_architecture as architecture
from tests import snippets

ROW = {name: row for row, names in enumerate(architecture.LAYERS) for name in names}


def test_every_part_has_its_row():
    assert set(architecture.parts()) == set(ROW)


def test_the_imports_run_one_way():
    for module, imported in architecture.imports().items():
        for other in imported - {module}:
            user, used = architecture.part(module), architecture.part(other)
            if user and user != used:  # the package's own front imports what it shows
                assert used, f"{module} imports the front of the package"
                assert ROW[used] <= ROW[user], f"{module} imports {other}, which stands above it"


@pytest.mark.parametrize("graph", [architecture.imports, architecture.parts])
def test_the_imports_have_no_circle(graph):
    list(graphlib.TopologicalSorter(graph()).static_order())  # raises CycleError


def test_the_picture_shows_the_imports():
    drawn = re.findall(r'<g id="(\w+)-uses-(\w+)">', architecture.PICTURE.read_text())
    assert sorted(drawn) == architecture.arrows(architecture.parts()), (
        "docs/architecture.svg is of other imports: python docs/draw_architecture.py"
    )


def code_files():
    for folder in ("keras_vsoftmax", "tests", "examples", "benchmarks", "docs"):
        yield from sorted((snippets.ROOT / folder).rglob("*.py"))


def test_no_file_is_over_400_lines():
    lengths = {str(path): len(path.read_text().splitlines()) for path in code_files()}
    assert len(lengths) > 100
    assert {name: lines for name, lines in lengths.items() if lines > 400} == {}
