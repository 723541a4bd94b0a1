"""The files, headings and tests that the docs name exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]

_LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_TEST = re.compile(r"`(?:(tests/[\w/]+\.py)(?:::))?(test_\w+)`")


def text_of(page: Path) -> str:
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text_of(page), re.MULTILINE)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


def links() -> Iterator[tuple[Path, str, str]]:
    for page in PAGES:
        for target, anchor in _LINK.findall(text_of(page)):
            yield page, target, anchor


@pytest.mark.parametrize(
    ("page", "target", "anchor"),
    [
        pytest.param(page, target, anchor, id=f"{page.name}-{target}#{anchor}")
        for page, target, anchor in links()
    ],
)
def test_a_link_leads_to_a_file_and_a_heading(page: Path, target: str, anchor: str) -> None:
    found = (page.parent / target).resolve() if target else page

    assert found.exists()
    if anchor and found.suffix == ".md":
        assert anchor in anchors(found)


def test_every_test_that_a_page_names_exists() -> None:
    sources = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")
    )
    # migrating.md names the tests of other packages.
    pages = [page for page in PAGES if page.name != "migrating.md"]
    named = {name for page in pages for _, name in _TEST.findall(text_of(page))}
    modules = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}

    assert {name for name in named if f"def {name}(" not in sources} <= modules
