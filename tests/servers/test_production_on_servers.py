"""The commands of docs/deployment.md: page, preflight, WebSocket, stream and end on each server."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Origin

from .server import PATIENCE, ROOT, Server, serve

pytestmark = pytest.mark.process

PAGE = (ROOT / "docs/deployment.md").read_text(encoding="utf-8")
# | server | command | of the table "Servers"
COMMANDS = dict(re.findall(r"^\| (.+?) \| `(\S+ .*example_project\..+?)` \|", PAGE, re.MULTILINE))
# How each is told of a port, which the page leaves at 8000.
PORTS = {
    "uvicorn": ("--port", "{port}"),
    "hypercorn": ("--bind", "127.0.0.1:{port}"),
    "granian": ("--port", "{port}"),
    "daphne": ("-p", "{port}"),
    "gunicorn": ("--bind", "127.0.0.1:{port}"),
}
ORIGIN = "https://app.example"


def test_the_page_names_all_servers() -> None:
    assert [command.split()[0] for command in COMMANDS.values()] == [
        "uvicorn",
        "uvicorn",
        "hypercorn",
        "granian",
        "daphne",
        "gunicorn",
    ]


@pytest.fixture(scope="module", params=COMMANDS)
def server(
    request: pytest.FixtureRequest,
    production_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    name, *options = shlex.split(COMMANDS[request.param])
    # Typed as it stands there, in an environment that is activated.
    command = (sys.executable, "-m", name, *options, *PORTS[name])
    log = tmp_path_factory.mktemp("server") / "log"
    environment = {**production_environment, "DRAIN_GRACE": "1"}
    with serve(command, log=log, environment=environment) as server:
        yield server


def test_a_page(server: Server) -> None:
    page = httpx.get(server.url, timeout=PATIENCE)
    [style] = re.findall(r'rel="stylesheet" href="(.+?)"', page.text)

    assert page.headers["x-request-id"]
    assert httpx.get(server.url + style, timeout=PATIENCE).status_code == 200


def test_a_preflight(server: Server) -> None:
    headers = {"origin": ORIGIN, "access-control-request-method": "POST"}
    answer = httpx.options(f"{server.url}/notes/", headers=headers, timeout=PATIENCE)

    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_a_websocket(server: Server) -> None:
    url = f"{server.websocket_url}/ws/echo/"
    with connect(url, origin=Origin(ORIGIN), open_timeout=PATIENCE) as socket:
        assert json.loads(socket.recv(PATIENCE))["type"] == "welcome"


# The last of this module: it ends the server.
def test_a_stream_and_the_end(server: Server, tmp_path: Path) -> None:
    url = f"{server.websocket_url}/ws/echo/"
    with (
        connect(url, origin=Origin(ORIGIN), open_timeout=PATIENCE) as socket,
        httpx.stream("GET", f"{server.url}/ticks/", timeout=PATIENCE) as stream,
    ):
        socket.recv(PATIENCE)
        lines = stream.iter_lines()
        assert next(lines).startswith("data: ")
        server.process.terminate()
        # Whole to the end: httpx raises where it is cut.
        list(lines)
        with pytest.raises(ConnectionClosed):
            socket.recv(PATIENCE)

    # By the signal, or with the status of success.
    assert server.process.wait(PATIENCE) in (0, -15)
