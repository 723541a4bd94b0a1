"""Each command in the table "Servers" of docs/deployment.md starts a server that works."""

import json
import re
import shlex
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from .server import PATIENCE, ROOT, WORKERS_HAVE_TIME, Server, serve

pytestmark = pytest.mark.process

PAGE = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
# The rows of the table "Servers": | server | command |
COMMANDS = dict(re.findall(r"^\| (.+?) \| `(\S+ .*example_project\..+?)` \|", PAGE, re.MULTILINE))
# Options that replace the page's port 8000, and that give workers time to start.
PORTS = {
    "uvicorn": ("--port", "{port}", *WORKERS_HAVE_TIME),
    "hypercorn": ("--bind", "127.0.0.1:{port}"),
    "granian": ("--port", "{port}"),
    "daphne": ("-p", "{port}"),
    "gunicorn": ("--bind", "127.0.0.1:{port}"),
}
ORIGIN = "https://app.example"


def test_the_page_has_a_command_for_every_server() -> None:
    assert [command.split()[0] for command in COMMANDS.values()] == [
        "uvicorn",
        "uvicorn",
        "hypercorn",
        "granian",
        "daphne",
        "gunicorn",
        "gunicorn",
    ]


@contextmanager
def served(row: str, environment: dict[str, str], folder: Path) -> Generator[Server]:
    name, *options = shlex.split(COMMANDS[row])
    # The page's command is for a shell with the environment activated.
    command = (sys.executable, "-m", name, *options, *PORTS[name])
    changes = {**environment, "DRAIN_GRACE": "1"}
    with serve(command, log=folder / "log", environment=changes) as server:
        yield server


@pytest.fixture(scope="module", params=COMMANDS)
def server(
    request: pytest.FixtureRequest,
    production_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    with served(request.param, production_environment, tmp_path_factory.mktemp("server")) as server:
        yield server


def test_a_server_serves_a_page_and_its_style_sheet(server: Server) -> None:
    page = httpx.get(server.url, timeout=PATIENCE)
    [style] = re.findall(r'rel="stylesheet" href="(.+?)"', page.text)

    assert page.headers["x-request-id"]
    assert httpx.get(server.url + style, timeout=PATIENCE).status_code == 200


def test_a_server_responds_to_a_preflight(server: Server) -> None:
    headers = {"origin": ORIGIN, "access-control-request-method": "POST"}
    response = httpx.options(f"{server.url}/notes/", headers=headers, timeout=PATIENCE)

    assert response.status_code == 204
    assert response.headers["access-control-allow-origin"] == ORIGIN


def test_a_server_accepts_a_websocket(server: Server) -> None:
    url = f"{server.websocket_url}/ws/echo/"
    with connect(url, origin=Origin(ORIGIN), open_timeout=PATIENCE) as socket:
        assert json.loads(socket.recv(PATIENCE))["type"] == "welcome"


# The test starts its own server, because no other test can use the server afterwards.
@pytest.mark.parametrize("row", COMMANDS)
def test_a_server_ends_streams_and_websockets_and_then_itself(
    row: str, production_environment: dict[str, str], tmp_path: Path
) -> None:
    with served(row, production_environment, tmp_path) as server:
        url = f"{server.websocket_url}/ws/echo/"
        with (
            connect(url, origin=Origin(ORIGIN), open_timeout=PATIENCE) as socket,
            httpx.stream("GET", f"{server.url}/ticks/", timeout=PATIENCE) as stream,
        ):
            socket.recv(PATIENCE)
            lines = stream.iter_lines()
            assert next(lines).startswith("data: ")
            server.process.terminate()
            # httpx raises an exception if the stream is cut off.
            list(lines)
            with pytest.raises(ConnectionClosed):
                socket.recv(PATIENCE)

        # Some servers end by the signal, others with the exit status 0.
        assert server.process.wait(PATIENCE) in (0, -15)
