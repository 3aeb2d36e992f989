"""The house: imports run one way."""

import graphlib

import pytest

from docs import draw_architecture as architecture

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
