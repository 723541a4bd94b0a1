"""What a release says about itself: its version, what it runs on, and what has changed."""

import re
import tomllib
from pathlib import Path

import asgi_middleware

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CI = (ROOT / ".ci" / "run").read_text()
# CI runs the tests on each of these that is installed. The metadata lists those that have passed.
PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
TRIED = PYTHONS[:3]


def classified(prefix: str) -> list[str]:
    """Return the versions in the classifiers that begin with *prefix*."""
    found = [re.fullmatch(rf"{prefix} :: (\d+\.\d+)", line) for line in classifiers()]
    return [match[1] for match in found if match]


def classifiers() -> list[str]:
    listed: list[str] = PYPROJECT["project"]["classifiers"]
    return listed


def test_the_version_has_one_source() -> None:
    assert PYPROJECT["project"]["dynamic"] == ["version"]
    assert PYPROJECT["tool"]["hatch"]["version"]["path"] == "asgi_middleware/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", asgi_middleware.__version__)


def test_the_changelog_lists_the_version_below_unreleased() -> None:
    sections = re.findall(
        r"^## \[(.+?)\](?: - (\S+))?$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )

    assert sections[0] == ("Unreleased", "")
    version, date = sections[1]
    assert version == asgi_middleware.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", date)


def test_ci_runs_on_the_pythons_of_the_metadata_and_newer_ones() -> None:
    [in_the_matrix] = re.findall(r"for wanted in (.+); do", CI)
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    [in_the_workflow] = re.findall(r"^ +python: \[(.+)\]$", workflow, re.MULTILINE)

    assert classified("Programming Language :: Python") == TRIED
    assert in_the_matrix.split() == PYTHONS
    assert re.findall(r"[\d.]+", in_the_workflow) == PYTHONS
    assert PYPROJECT["project"]["requires-python"] == f">={PYTHONS[0]}"


def test_the_oldest_django_in_the_metadata_is_the_oldest_in_ci() -> None:
    oldest = classified("Framework :: Django")[0]

    assert f"django~={oldest}.0" in CI
    for extra in ("example", "test"):
        [django] = [
            each
            for each in PYPROJECT["project"]["optional-dependencies"][extra]
            if each.startswith("django>")
        ]
        assert django.startswith(f"django>={oldest}")


def test_a_message_that_says_what_to_install_names_a_requirement_of_an_extra() -> None:
    extras = PYPROJECT["project"]["optional-dependencies"]
    known = {
        re.split(r"[\[>]", requirement)[0] for extra in extras.values() for requirement in extra
    }
    sources = [path.read_text() for path in (ROOT / "asgi_middleware").rglob("*.py")]
    named = {
        name
        for source in sources
        for name in re.findall(r"; (?:run: pip )?install ([\w\-\[\]]+)", source)
    }

    assert {"prometheus-client", "opentelemetry-api", "uvicorn"} <= named
    assert named <= known
