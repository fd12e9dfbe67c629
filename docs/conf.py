"""How Sphinx makes a site of these pages: `python -m sphinx -W --keep-going -b html docs BUILD`.

The pages are Markdown that also reads well without Sphinx: anchors are those of GitHub, and a link
to a file that is no page offers the file. Sphinx checks every link between pages.
"""

import re
from importlib.metadata import version as version_of
from typing import Any

from pygments.lexers.special import TextLexer
from sphinx.application import Sphinx

project = "sse_trio"
version = release = version_of("sse-trio")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinxcontrib.mermaid"]
exclude_patterns = ["examples/*/node_modules"]

myst_heading_anchors = 6
myst_fence_as_directive = ["mermaid"]

html_theme = "furo"
html_title = "sse_trio"
html_copy_source = False

# In a docstring, `name` is a link if it is a public name, and otherwise code.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
nitpicky = True
nitpick_ignore_regex = [
    # Arguments, keys and internal names, as the docstrings mention them.
    ("py:obj", ".*"),
    # To link to other packages, the build would need the network.
    ("py:class", r"(collections|contextlib|pathlib|socket|ssl|trio)\..*"),
    # Types that a caller passes on, and does not look into.
    ("py:class", r"sse_trio\.(apps|auth|core|histogram|hub|ledger)\..*"),
]

_ERROR = re.compile(r" {4}(\w+): ")
_PAGE = re.compile(r"\]\(([\w/-]+)\.md\)")


def show_errors(_: Sphinx, *about: Any) -> None:
    """Make what stands below "Raises:" in a docstring a list of errors."""
    lines: list[str] = about[-1]
    if "Raises:" in lines:
        start = lines.index("Raises:")
        lines[start:] = ["", *(_ERROR.sub(r":raises \1: ", line) for line in lines[start + 1 :])]


def add_contents(_: Sphinx, page: str, source: list[str]) -> None:
    """Make tables of contents of the lists of pages: in the repository, they would be code."""
    if page in ("index", "examples/README"):
        first, *parts = re.split("^## ", source[0], flags=re.MULTILINE)
        source[0] = (
            first + _contents(first) + "".join(f"## {part}{_contents(part)}" for part in parts)
        )


def _contents(part: str) -> str:
    pages = _PAGE.findall(part)
    caption = part.partition("\n")[0].lstrip("# ")
    return "\n".join(
        ["", "```{toctree}", f":caption: {caption}", ":hidden:", *pages, "```", "", ""]
    )


def setup(app: Sphinx) -> None:
    """Teach Sphinx the docstrings of this package, and languages that Pygments does not know."""
    app.connect("autodoc-process-docstring", show_errors)
    app.connect("source-read", add_contents)
    for language in ("cshtml", "haproxy"):
        app.add_lexer(language, TextLexer)
