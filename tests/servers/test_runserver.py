"""``manage.py runserver`` serves ASGI, so developers get the stack as well."""

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from .server import HOST, PATIENCE, Server, serve

pytestmark = pytest.mark.process

RUNSERVER = (sys.executable, "manage.py", "runserver", "--noreload", f"{HOST}:{{port}}")


@pytest.fixture(scope="module")
def server(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("runserver") / "log"
    with serve(RUNSERVER, log=log, environment=environment) as server:
        yield server


def test_a_response_of_runserver_has_passed_through_the_stack(server: Server) -> None:
    response = httpx.get(
        f"{server.url}/status/", headers={"x-request-id": "at-work"}, timeout=PATIENCE
    )

    assert response.headers["x-request-id"] == "at-work"
    assert "app;dur=" in response.headers["server-timing"]


def test_a_view_of_runserver_sees_what_startup_opened(server: Server) -> None:
    state = httpx.get(f"{server.url}/status/", timeout=PATIENCE).json()

    assert state["started_at"] is not None


def test_runserver_accepts_websockets(server: Server) -> None:
    with connect(f"{server.websocket_url}/ws/echo/", open_timeout=PATIENCE) as socket:
        assert '"type": "welcome"' in str(socket.recv(PATIENCE))


def test_runserver_serves_static_files(server: Server) -> None:
    response = httpx.get(f"{server.url}/static/inspector/main.js", timeout=PATIENCE)

    assert response.status_code == 200


def test_uvicorn_does_not_load_twisted(environment: dict[str, str], tmp_path: Path) -> None:
    modules = "import sys, example_project.asgi; sys.exit('twisted' in sys.modules)"
    with serve(
        (sys.executable, "-c", modules),
        log=tmp_path / "log",
        environment=environment,
        listening=False,
    ) as loading:
        assert loading.process.wait(PATIENCE) == 0
