"""Write the README's table of heads: each registered name, and the first line of its docstring.

python docs/list_heads.py
"""

import inspect
import pathlib
import re

import keras_vsoftmax

README = pathlib.Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- heads: python docs/list_heads.py -->\n", "<!-- end of heads -->\n"


def table():
    """Markdown, one row a head."""
    rows = ["| name | what it is |", "|---|---|"]
    for name in keras_vsoftmax.heads.NAMES:
        told = inspect.getdoc(keras_vsoftmax.heads.find(name))
        rows.append(f"| `{name}` | {told.partition('.')[0]} |")
    return "\n".join(rows) + "\n"


def written(text):
    """The text of the README with the table as it should be."""
    return re.sub(f"(?<={BEGIN}).*(?={END})", lambda _: table(), text, flags=re.DOTALL)


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
