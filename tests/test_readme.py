"""What the README shows is what there is."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_it_shows_the_examples_asgi_py_in_full() -> None:
    shown = re.search(
        r"<!-- asgi.py -->\n```python\n(.*?)```\n<!-- /asgi.py -->", README, re.DOTALL
    )

    assert shown is not None
    assert shown[1] == (ROOT / "example_project" / "asgi.py").read_text()


def test_every_file_that_it_links_exists() -> None:
    linked = re.findall(r"\]\((?!http)([^)#]+)", README)

    assert linked
    for path in linked:
        assert (ROOT / path).exists(), path
