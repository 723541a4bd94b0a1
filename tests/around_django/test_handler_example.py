"""The pages of the example, byte for byte as from Django's handler."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import override_settings

from .test_handler import NOW, Ask, Project, database, forget_connection, post, row, visits

PAGES = visits(
    row("/", "/notes/", "/status/", "/ticks/", "/nowhere/", "/notes", id="to read"),
    row("/fail/", id="an error"),
    row("/live/", "/static/inspector/style.css", "/scenarios/", id="other apps"),
    row(
        "/login/",
        post("/login/", data={"username": "ann", "password": "wrong"}, token=True),
        post("/login/", data={"username": "ann", "password": "secret"}, token=True),
        Ask("/"),
        post("/logout/", token=True),
        id="to sign in",
    ),
    row(
        "/",
        post("/notes/", data={"text": ""}, token=True),
        post("/notes/", data={"text": "first <b>"}, token=True),
        post("/notes/", data={"text": "forged"}),
        Ask("/notes/", "HEAD"),
        id="to write",
    ),
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    settings = {"ALLOWED_HOSTS": ["testserver"], "DEBUG": False}
    hasher = "django.contrib.auth.hashers.MD5PasswordHasher"
    with override_settings(PASSWORD_HASHERS=[hasher], **settings):
        monkeypatch.setitem(database(), "NAME", str(tmp_path / "empty.sqlite3"))
        forget_connection()
        call_command("migrate", verbosity=0)
        User.objects.create_user("ann", password="secret")
        forget_connection()
        monkeypatch.setattr(time, "time", lambda: NOW)
        yield Project(tmp_path / "empty.sqlite3", tmp_path, monkeypatch)


async def test_the_pages_of_the_example_are_byte_for_byte_those_of_djangos_handler(
    project: Project,
) -> None:
    seen = await project.compared(PAGES)

    assert [each.status for each in seen["to write"]] == [200, 400, 302, 403, 405]
    assert [each.status for each in seen["to sign in"]] == [200, 200, 302, 200, 302]
