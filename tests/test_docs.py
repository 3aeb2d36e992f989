"""What the pages and the docstrings show runs, and the reference shows all there is."""

import doctest
import importlib
import inspect
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import keras_vsoftmax
from docs import list_heads
from keras_vsoftmax.heads import registry
from tests import snippets

PAGES = [
    str(path.relative_to(snippets.ROOT))
    for folder in (".", "docs", "results")
    for path in sorted((snippets.ROOT / folder).glob("*.md"))
]
# Pages whose snippets need a model or data first: they are run by the tests of their subject.
PREPARED = [
    "docs/identification.md",
    "docs/retrieval.md",
    "docs/scaling.md",
    "docs/training_loops.md",
    "docs/tuning.md",
    "docs/verification.md",
]
MODULES = [
    module.name for module in pkgutil.walk_packages(keras_vsoftmax.__path__, "keras_vsoftmax.")
]


def lone_snippets():
    for page in PAGES:
        if page not in PREPARED:
            for number, snippet in enumerate(snippets.of(page)):
                yield pytest.param(snippet, id=f"{page}-{number}")


@pytest.fixture(autouse=True)
def _heads_as_they_were():
    names = keras_vsoftmax.heads.NAMES
    yield
    for name in set(keras_vsoftmax.heads.NAMES) - set(names):
        registry.forget(name)


@pytest.mark.parametrize("snippet", lone_snippets())
def test_snippet(snippet, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    snippets.run([snippet])


@pytest.mark.parametrize("page", PREPARED)
def test_a_test_runs_the_snippets_of_the_page(page):
    assert snippets.of(page)
    tests = pathlib.Path(__file__).parent.rglob("test_*.py")
    texts = [path.read_text() for path in tests if path != pathlib.Path(__file__)]
    assert any(f'"{page}"' in text and "snippets.run(" in text for text in texts)


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_every_head_is_in_the_readme_and_the_guide():
    readme = list_heads.README.read_text()
    assert f"| `{keras_vsoftmax.heads.NAMES[-1]}` |" in readme
    assert readme == list_heads.written(readme), "python docs/list_heads.py"
    guide = (snippets.ROOT / "docs" / "heads.md").read_text()
    assert [name for name in keras_vsoftmax.heads.NAMES if f"`{name}`" not in guide] == []


def public_objects():
    """What can be imported without an underscore: the lists of the packages, and definitions."""
    for name in ["keras_vsoftmax", *MODULES]:
        if "._" in name:
            continue
        module = importlib.import_module(name)
        for shown, value in vars(module).items():
            listed = shown in getattr(module, "__all__", ())
            defined = getattr(value, "__module__", None) == name and not shown.startswith("_")
            if (listed and not inspect.ismodule(value)) or (defined and callable(value)):
                yield f"{name}.{shown}", value


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning_and_names_all_that_is_public(tmp_path):
    pytest.importorskip("sphinx")
    from sphinx.util.inventory import InventoryFile

    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q"]
    command += ["-b", "html", "-c", "docs", "-d", str(tmp_path / "trees"), ".", str(tmp_path)]
    built = subprocess.run(command, cwd=snippets.ROOT, capture_output=True, text=True, timeout=600)
    assert built.returncode == 0, built.stderr

    inventory = InventoryFile.loads((tmp_path / "objects.inv").read_bytes(), uri="").data
    public = dict(public_objects())  # which imports the modules
    shown = set()
    for kind in inventory:
        for name in inventory[kind] if kind.startswith("py:") else ():
            module, _, last = name.rpartition(".")
            if module in sys.modules:
                shown.add(id(getattr(sys.modules[module], last)))
    assert len(public) > 100
    assert [name for name, value in public.items() if id(value) not in shown] == []
