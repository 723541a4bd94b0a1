"""``manage.py`` in its own process: with the project, a part of it, and an old database."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers.server import clean_environment

ROOT = Path(__file__).resolve().parents[2]
INSPECTOR = ("settings/base.py", "urls.py", "asgi.py")
LOOK = """
import asyncio, django, example_project
print(example_project.__file__)
django.setup()
from asgi_middleware.testing.django import StackClient

async def look():
    async with StackClient(headers={"host": "localhost"}) as client:
        for path in ("/", "/notes/", "/status/", "/readyz"):
            print(path, (await client.get(path)).status_code)

asyncio.run(look())
"""

Run = Callable[..., str]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A function that runs Python in *folder* on a database of its own; it returns the output."""
    environment = clean_environment(
        {
            "DJANGO_SETTINGS_MODULE": "example_project.settings.development",
            "SQLITE_PATH": str(tmp_path / "db.sqlite3"),
        }
    )

    def run(*command: str, folder: Path = ROOT) -> str:
        return subprocess.run(
            [sys.executable, *command],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=True,
            timeout=120,
        ).stdout

    return run


def test_the_projects_tests_run_with_manage_py_test(run: Run) -> None:
    output = run("manage.py", "test", "example_project")

    assert output.rstrip().splitlines()[-2] == "OK"
    assert "Ran 0 tests" not in output


def test_the_project_works_without_the_inspector_and_the_lines_that_name_it(
    run: Run, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    unneeded = shutil.ignore_patterns("__pycache__", "inspector")
    shutil.copytree(ROOT / "example_project", copy / "example_project", ignore=unneeded)
    shutil.copy(ROOT / "manage.py", copy)
    deleted = [
        name
        for path in sorted(copy.rglob("*.*"))
        if path.is_file()
        for name in _without(path, "inspector")
    ]
    assert sorted(deleted) == sorted(INSPECTOR)

    run("manage.py", "check", "--fail-level", "WARNING", folder=copy)
    run("manage.py", "migrate", folder=copy)
    run("manage.py", "test", "example_project", folder=copy)
    looked = run("-c", LOOK, folder=copy).splitlines()

    assert looked[0] == str(copy / "example_project/__init__.py")
    assert [line for line in looked if line.startswith("/") and line[-3:].isdigit()] == [
        "/ 302",
        "/notes/ 200",
        "/status/ 200",
        "/readyz 200",
    ]


def _without(path: Path, word: str) -> list[str]:
    """Delete the lines with *word* from a file, and return the file's name once for each line."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if word not in line.lower()]
    path.write_text("".join(kept), encoding="utf-8")
    name = str(path.relative_to(path.parents[-1])).partition("copy/example_project/")[2]
    return [name] * (len(lines) - len(kept))


def test_migrate_keeps_the_notes_of_an_older_database(run: Run, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as old, old:
        old.executescript("""
            CREATE TABLE django_migrations (
                id integer PRIMARY KEY AUTOINCREMENT,
                app varchar(255) NOT NULL, name varchar(255) NOT NULL, applied datetime NOT NULL
            );
            INSERT INTO django_migrations (app, name, applied)
            VALUES ('showcase', '0001_notes', '2026-01-01 00:00:00');
            CREATE TABLE showcase_note (
                id integer PRIMARY KEY AUTOINCREMENT,
                text varchar(200) NOT NULL, created_at datetime NOT NULL
            );
            INSERT INTO showcase_note (text, created_at)
            VALUES ('first', '2026-01-01 00:00:00'), ('second', '2026-01-01 00:00:00');
        """)

    run("manage.py", "migrate")

    with closing(sqlite3.connect(tmp_path / "db.sqlite3")) as migrated:
        assert migrated.execute("SELECT text FROM notes_note ORDER BY id").fetchall() == [
            ("first",),
            ("second",),
        ]
    run("manage.py", "migrate", "--check")
