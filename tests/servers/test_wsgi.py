"""The table of docs/wsgi.md, row by row.

The example project runs from asgi.py on uvicorn, and from wsgi.py on gunicorn.
"""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from .example import UVICORN
from .server import HOST, PATIENCE, ROOT, Server, serve

pytestmark = pytest.mark.process

GUNICORN = (
    *(sys.executable, "-m", "gunicorn", "example_project.wsgi:application"),
    *("--bind", f"{HOST}:{{port}}"),
)
ORIGIN = "http://localhost:3000"


@dataclass(frozen=True)
class Row:
    """A row of the table: what to look at on a server, and what you see with ASGI and with WSGI."""

    look: Callable[[Server], object]
    asgi: object
    wsgi: object


def get(server: Server, path: str, **headers: str) -> httpx.Response:
    return httpx.get(server.url + path, headers=headers, timeout=PATIENCE)


def status(path: str) -> Callable[[Server], object]:
    return lambda server: get(server, path).status_code


def header(name: str, **headers: str) -> Callable[[Server], object]:
    return lambda server: name in get(server, "/status/", **headers).headers


def preflight(server: Server) -> object:
    headers = {"origin": ORIGIN, "access-control-request-method": "POST"}
    return httpx.options(f"{server.url}/notes/", headers=headers, timeout=PATIENCE).status_code


def opened(server: Server) -> object:
    return get(server, "/status/").json()["started_at"] is not None


def stream(server: Server) -> object:
    with httpx.stream("GET", f"{server.url}/notes/stream/", timeout=PATIENCE) as response:
        code = response.status_code
        return code, code == 200 and next(response.iter_lines())[:5]


def socket(server: Server) -> object:
    try:
        with connect(f"{server.websocket_url}/ws/echo/", open_timeout=PATIENCE) as socket:
            return "welcome" in str(socket.recv(PATIENCE))
    except InvalidStatus as refused:
        return refused.response.status_code


TABLE = {
    "a page": Row(status("/"), 200, 200),
    "a sync view with a query": Row(status("/notes/"), 200, 200),
    "an async view": Row(status("/status/"), 200, 200),
    "`X-Request-ID`": Row(header("x-request-id"), True, False),
    "`Server-Timing`": Row(header("server-timing"), True, False),
    "CORS headers": Row(header("access-control-allow-origin", origin=ORIGIN), True, False),
    "a preflight": Row(preflight, 204, 405),
    "what startup opened": Row(opened, True, False),
    "an endless stream": Row(stream, (200, "retry"), (404, False)),
    "a WebSocket": Row(socket, True, 404),
    "`/livez`": Row(status("/livez"), 200, 404),
    "Starlette at `/echo/`": Row(status("/echo/"), 200, 404),
    "the live view on the page": Row(
        lambda server: "main.js" in get(server, "/").text, True, False
    ),
}


@pytest.fixture(scope="module", params=["asgi", "wsgi"])
def served(
    request: pytest.FixtureRequest,
    environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[str, Server]]:
    command = UVICORN if request.param == "asgi" else GUNICORN
    log = tmp_path_factory.mktemp(request.param) / "log"
    with serve(command, log=log, environment=environment) as server:
        yield request.param, server


@pytest.mark.parametrize("name", TABLE)
def test_a_server_does_what_its_row_of_the_table_says(
    name: str, served: tuple[str, Server]
) -> None:
    entry_point, server = served
    row = TABLE[name]

    assert row.look(server) == (row.asgi if entry_point == "asgi" else row.wsgi)


def test_the_table_of_the_page_has_these_rows() -> None:
    page = (ROOT / "docs/wsgi.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+?) \|", page, re.MULTILINE)

    assert [row for row in rows if row != "---"] == list(TABLE)
