""" "A site from nothing" in docs/deployment.md: its variables and its ``manage.py`` commands."""

import re
import secrets
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from .postgresql import PostgreSQL
from .redis import redis
from .server import ROOT, clean_environment

pytestmark = pytest.mark.process

PAGE = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
SECTION = PAGE[PAGE.index("## A site from nothing") : PAGE.index("### Variables")]
COMMANDS = re.findall(r"\.venv/bin/python (manage\.py [^'\n]+)", SECTION)


def test_the_commands_of_the_page_work_with_its_variables(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    [block] = re.findall(r"```ini\n(.*?)```", SECTION, re.DOTALL)
    variables = dict(line.split("=", 1) for line in block.splitlines())
    with redis() as running:
        here = {
            "DJANGO_SECRET_KEY": secrets.token_urlsafe(50),
            "DATABASE_URL": f"postgresql://postgres@/postgres?host={postgresql.folder}",
            "STATIC_ROOT": str(tmp_path),
            **running.environment,
        }
        assert here.keys() <= variables.keys()
        environment = clean_environment(
            {
                **variables,
                **here,
                "DJANGO_SUPERUSER_PASSWORD": "for tests",
                "DJANGO_SUPERUSER_USERNAME": "ada",
                "DJANGO_SUPERUSER_EMAIL": "ada@example.org",
            }
        )
        outputs = [_run(command, environment) for command in COMMANDS]

    assert [command.split()[1] for command in COMMANDS] == [
        "check",
        "collectstatic",
        "migrate",
        "createsuperuser",
    ]
    assert "no issues" in outputs[0]


def _run(command: str, environment: dict[str, str]) -> str:
    words = shlex.split(command)
    if words[1] == "createsuperuser":
        words.append("--noinput")  # nobody is there to type
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_ci_installs_the_packages_that_the_page_lists() -> None:
    [line] = re.findall(r"^# apt install (.*)$", SECTION, re.MULTILINE)
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")

    assert [name for name in line.split() if name not in ci] == ["git"]


def test_the_page_lists_every_environment_variable() -> None:
    table = PAGE[PAGE.index("### Variables") : PAGE.index("### How many")]
    read = {
        name
        for path in (ROOT / "example_project").rglob("*.py")
        for name in re.findall(
            r'(?:env\.\w+\(|get\(|environ\[|SHARED = )"([A-Z_]+)"',
            path.read_text(encoding="utf-8"),
        )
    }
    assert {name for name in read if f"`{name}`" not in table} <= {
        "DJANGO_SETTINGS_MODULE",  # Django's own
        "SERVER_SOFTWARE",  # gunicorn's
    }
    assert len(read) > 8
