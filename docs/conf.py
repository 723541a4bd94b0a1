"""The documentation as a site: `make docs`. Its pages are the same files that a code host shows."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings

import asgi_middleware

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[1]

project = "asgi_middleware"
version = release = asgi_middleware.__version__
copyright = "the asgi_middleware authors"  # noqa: A001

# Pages link to files beside docs/, so the sources are the whole checkout.
extensions = ["myst_parser", "sphinx.ext.autodoc"]
include_patterns = ["*.md", "docs/*.md"]
exclude_patterns = [".*", "dist", "build", "staticfiles", "**/__pycache__"]
root_doc = "README"
source_suffix = {".md": "markdown"}

# GitHub makes an anchor of each heading.
myst_heading_anchors = 4
suppress_warnings = [
    # Highlighting: Pygments takes the "..." in JSON and the placeholders in settings for errors.
    "misc.highlighting_failure",
]

html_theme = "furo"
html_title = f"asgi_middleware {version}"
html_show_sphinx = False

autodoc_member_order = "bysource"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}

settings.configure()
django.setup()


def add_navigation(_app: "Sphinx", name: str, source: list[str]) -> None:
    """Give the site the order and the captions of docs/index.md, unseen on a code host."""
    if name != root_doc:
        return
    order = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    trees = ["```{toctree}\n:hidden:\ndocs/index\n```"]
    _, *parts = re.split(r"^\*\*(.+)\*\*$", order, flags=re.MULTILINE)
    for caption, part in zip(parts[::2], parts[1::2], strict=True):
        pages = re.findall(r"\]\((\S+)\.md\)", part)
        lines = "\n".join(
            page.removeprefix("../") if "/" in page else f"docs/{page}" for page in pages
        )
        trees.append(f"```{{toctree}}\n:hidden:\n:caption: {caption}\n{lines}\n```")
    source[0] += "\n" + "\n".join(trees) + "\n"


def mark_code(*arguments: Any) -> None:
    """Make code of the examples in docstrings, which are indented below a sentence."""
    lines: list[str] = arguments[-1]
    marked = list[str]()
    for line in lines:
        above = next((each for each in reversed(marked) if each.strip()), "")
        begins = line.startswith("    ") and not above.startswith(" ") and marked[-1:] == [""]
        if begins and not above.endswith("::"):
            marked += ["::", ""]
        marked.append(line)
    lines[:] = marked


def begin_at_the_readme(app: "Sphinx", exception: Exception | None) -> None:
    if exception is None:
        first = Path(app.outdir, "index.html")
        first.write_text(f'<meta http-equiv="refresh" content="0; url={root_doc}.html">\n')


def setup(app: "Sphinx") -> None:
    app.connect("source-read", add_navigation)
    app.connect("autodoc-process-docstring", mark_code)
    app.connect("build-finished", begin_at_the_readme)
