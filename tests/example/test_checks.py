"""/readyz, and its check of the database."""

from pathlib import Path

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError, connection, connections

from asgi_middleware import Stack
from asgi_middleware.testing import request
from asgi_middleware.types import ASGIApp
from example_project.checks import database


@pytest.fixture
def no_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """New connections fail: a folder is not a database."""
    monkeypatch.setitem(connections.settings["default"], "NAME", str(tmp_path))


def check_and_look() -> object:
    """Run the check, and return the connection that it leaves open in this thread."""
    database()
    return connection.connection


@pytest.mark.usefixtures("database")
async def test_the_database_check_leaves_no_connection_open() -> None:
    assert await sync_to_async(check_and_look, thread_sensitive=False)() is None


@pytest.mark.usefixtures("database", "no_database")
async def test_the_database_check_raises_without_a_database() -> None:
    with pytest.raises(OperationalError):
        await sync_to_async(check_and_look, thread_sensitive=False)()


@pytest.mark.usefixtures("database")
async def test_a_process_that_serves_is_ready(
    application: Stack, running: ASGIApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a busy machine, the check may take longer than a load balancer would wait.
    monkeypatch.setattr(application.layers[0], "_timeout", 60.0)

    response = await request(running, "GET", "/readyz")

    assert (response.status, response.json()) == (
        200,
        {"status": "ready", "checks": {"database": "ok"}},
    )


@pytest.mark.usefixtures("database", "no_database")
async def test_a_process_without_its_database_is_not_ready(running: ASGIApp) -> None:
    response = await request(running, "GET", "/readyz")

    assert (response.status, response.json()["checks"]) == (503, {"database": "failed"})
