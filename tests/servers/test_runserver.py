"""``manage.py runserver`` is the ASGI one, so that the stack is there at work too."""

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


def test_an_answer_has_passed_the_stack(server: Server) -> None:
    answer = httpx.get(f"{server.url}/status/", headers={"x-request-id": "at-work"})

    assert answer.headers["x-request-id"] == "at-work"
    assert "app;dur=" in answer.headers["server-timing"]


def test_what_start_up_opens_is_there(server: Server) -> None:
    assert httpx.get(f"{server.url}/status/").json()["ticks"] is not None


def test_it_takes_websockets(server: Server) -> None:
    with connect(f"{server.websocket_url}/ws/echo/", open_timeout=PATIENCE) as socket:
        assert '"type": "welcome"' in str(socket.recv(PATIENCE))


def test_it_serves_static_files(server: Server) -> None:
    assert httpx.get(f"{server.url}/static/showcase/main.js").status_code == 200


def test_uvicorn_does_not_load_twisted(environment: dict[str, str], tmp_path: Path) -> None:
    modules = "import sys, example_project.asgi; sys.exit('twisted' in sys.modules)"
    with serve(
        (sys.executable, "-c", modules),
        log=tmp_path / "log",
        environment=environment,
        listening=False,
    ) as loading:
        assert loading.process.wait(PATIENCE) == 0
