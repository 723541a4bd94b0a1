"""The README shows the example project as it is."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_the_readme_shows_the_asgi_py_of_the_example_in_full() -> None:
    shown = re.search(
        r"<!-- asgi.py -->\n```python\n(.*?)```\n<!-- /asgi.py -->", README, re.DOTALL
    )

    assert shown is not None
    assert shown[1] == (ROOT / "example_project" / "asgi.py").read_text()


def test_every_file_that_the_readme_links_to_exists() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)", README)

    assert linked
    for path in linked:
        assert (ROOT / path).exists(), path
