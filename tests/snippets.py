"""The Python snippets of the pages, and the one way in which tests run them."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent


def of(page):
    """The Python snippets of a page, such as "docs/heads.md", in their order."""
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)


def run(snippets, names=None):
    """Run snippets: on `names`, one after another, which are returned; without them each alone."""
    assert snippets
    for number, snippet in enumerate(snippets):
        code = compile(snippet, f"snippet {number}", "exec")
        exec(code, {"__name__": "__snippet__"} if names is None else names)
    return names
