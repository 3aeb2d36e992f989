"""How Sphinx builds the documentation: every page of the repository, and a reference.

    python -m sphinx -W -b html -c docs . docs/html

The source folder is the repository, so that a link from any page to any other is checked. The
pages of the reference are written by `api_pages`; they show the docstrings, which are Markdown.
"""

import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

import api_pages  # noqa: E402

project = "keras_vsoftmax"
copyright = "The keras_vsoftmax authors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**.md", "results/*.md"]
exclude_patterns = [".*", "runs", "docs/html", "shared"]
html_theme = "furo"
autodoc_member_order = "bysource"
napoleon_custom_sections = [("Call arguments", "params_style")]
napoleon_use_ivar = True  # autodoc describes the attributes of a class as well
myst_heading_anchors = 3


def to_restructured_text(app, what, name, obj, options, lines):
    """Turn what is Markdown in a docstring into what reStructuredText shows the same way."""
    text = "\n".join(lines)
    text = re.sub(r"^( *)```(\w+)\n(.*?)^ *```$", _code, text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"(?<=\n\n)(\|.*\n)+", _literal, "\n\n" + text)  # a table
    # A formula: lines set in, after a blank line after one that is not.
    text = re.sub(r"(?<=\n)(\S.*\n\n)((?: {4,}.*\n|\n(?= {4}))+)", _formula, text)
    text = re.sub(r"(?<![`:])`([^`]+)`(?!`)(?=(\w?))", _name, text)
    lines[:] = text.strip("\n").split("\n")


def _set_in(text):
    return re.sub(r"^(?=.)", "    ", text, flags=re.MULTILINE)


def _code(found):
    indent, language, code = found.groups()
    return f"{indent}.. code-block:: {language}\n\n{_set_in(code)}"


def _literal(found):
    return f"::\n\n{_set_in(found.group())}"


def _formula(found):
    above, formula = found.groups()
    if above.startswith((".. ", "::")):
        return found.group()
    return f"{above}::\n\n{formula}"


def _name(found):
    name, next_letter = found.groups()
    return f"``{name}``" + ("\\ " if next_letter else "")


def setup(app):
    app.connect("builder-inited", lambda app: api_pages.write(HERE / "api"))
    app.connect("autodoc-process-docstring", to_restructured_text, priority=400)  # first of all
