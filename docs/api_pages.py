"""Which public names there are, and the page of each module that has any.

A package's `__all__` is public; in a module without one, whatever is defined there and has no
underscore. A name that a package above its module lists is shown there, and only there.
"""

import importlib
import inspect
import pathlib
import pkgutil

import keras_vsoftmax

PAGE = """# {module}

```{{eval-rst}}
.. automodule:: {module}
{directives}
```
"""


def modules():
    """Every module whose path has no underscore at its front, packages before what they hold."""
    yield keras_vsoftmax
    for found in pkgutil.walk_packages(keras_vsoftmax.__path__, "keras_vsoftmax."):
        if not any(part.startswith("_") for part in found.name.split(".")):
            yield importlib.import_module(found.name)


def names(module):
    """The public names of one module, in the order in which it lists or defines them."""
    if hasattr(module, "__all__"):
        return [name for name in module.__all__ if not inspect.ismodule(getattr(module, name))]
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isroutine(value))
        and value.__module__ == module.__name__
    ]


def contents():
    """{module: {name: the page it is shown on}}, for the modules that have any of their own."""
    shown = {}
    pages = {}
    for module in modules():
        listed = hasattr(module, "__all__")
        mine = {}
        for name in names(module):
            page = shown.setdefault(id(getattr(module, name)), module)
            if listed or page is module:
                mine[name] = page
        if mine:
            pages[module] = mine
    return pages


def write(folder):
    """Write one Markdown page a module, and an index of them, into `folder`."""
    folder = pathlib.Path(folder)
    folder.mkdir(exist_ok=True)
    pages = {f"{module.__name__}.md": _page(module, mine) for module, mine in contents().items()}
    listed = "\n".join(pages)
    pages["index.md"] = f"# API reference\n\n```{{toctree}}\n{listed}\n```\n"
    for old in folder.glob("*.md"):
        if old.name not in pages:
            old.unlink()
    for name, page in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != page:  # an old page need not be built again
            path.write_text(page)


def _page(module, mine):
    here = [_directive(module, name) for name, page in mine.items() if page is module]
    elsewhere = [
        f"\n:py:obj:`{name} <{page.__name__}.{name}>`"
        for name, page in mine.items()
        if page is not module
    ]
    return PAGE.format(module=module.__name__, directives="\n".join(elsewhere + here))


def _directive(module, name):
    value = getattr(module, name)
    path = f"{module.__name__}.{name}"
    if inspect.isclass(value):
        return f"\n.. autoclass:: {path}\n   :members:\n   :show-inheritance:"
    if inspect.isroutine(value):
        return f"\n.. autofunction:: {path}"
    return f"\n.. autodata:: {path}"
