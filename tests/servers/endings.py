"""End servers while clients of every kind are connected, and see how both end."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect

from .lifespan import events
from .server import HOST, PATIENCE, ROOT, SERVERS, UVICORN_WORKERS, Server, serve

_APP = "tests.servers.apps.drain:application"
_GUNICORN = ("gunicorn", "--bind", f"{HOST}:{{port}}", "--graceful-timeout", "20")
# By the names in docs/deployment.md: the module to run, its options, and the app.
COMMANDS: dict[str, tuple[str, ...]] = {
    "uvicorn": (*SERVERS["uvicorn"], _APP),
    "uvicorn --workers 2": (*SERVERS["uvicorn"], *UVICORN_WORKERS, _APP),
    "hypercorn --workers 0": (
        *(*SERVERS["hypercorn"], "--workers", "0", "--graceful-timeout", "20", _APP),
    ),
    "granian": (*SERVERS["granian"], _APP),
    "daphne": (*SERVERS["daphne"], "tests.servers.apps.drain_daphne:application"),
    "gunicorn -k uvicorn_worker.UvicornWorker": (
        *(*_GUNICORN, "-k", "uvicorn_worker.UvicornWorker", _APP),
    ),
    "gunicorn -k asgi": (*_GUNICORN, "-k", "asgi", _APP),
}
_MORE: dict[str, tuple[str, ...]] = {
    "hypercorn": (*SERVERS["hypercorn"], _APP),
    "a program": ("tests.servers.apps.drain_embedded", "{port}"),
}
# A request with this path is a WebSocket.
_WEBSOCKETS = ("chat", "ticks", "flood", "undecided")
_UPGRADE = (
    "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
    "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
# How much of a request a client sends before it stops: nothing, part of the head, or part of the
# body.
UNFINISHED = (
    "",
    "GET /page HTTP/1.1\r\nhost: localhost\r\n",
    "POST /upload HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
)


def command(name: str, *options: str, app: str | None = None) -> list[str]:
    """Return the command that starts the server; skip the test if it is not installed."""
    module, *rest, usual_app = {**COMMANDS, **_MORE}[name]
    server = "uvicorn" if name == "a program" else module
    for needed in (server, *re.findall("uvicorn_worker", name)):
        pytest.importorskip(needed, reason=f"needs {needed}")
    return [sys.executable, "-m", module, *rest, *options, app or usual_app]


@dataclass
class Clients:
    """The clients that :func:`connected` started, with their responses."""

    server: Server
    responses: dict[str, "Future[str]"]

    def kinds(self) -> str:
        """Return *drained* if every connection ended as the drain ends it, otherwise *cut*."""
        got = {path: response.result(PATIENCE) for path, response in self.responses.items()}
        return "drained" if all(map(_ended_well, got, got.values())) else "cut"

    @property
    def all_done(self) -> bool:
        return all(response.done() for response in self.responses.values())


@contextmanager
def connected(
    name: str,
    folder: Path,
    paths: tuple[str, ...],
    *options: str,
    app: str | None = None,
    after: float = 0,
    unread: tuple[str, ...] = (),
    unfinished: tuple[str, ...] = (),
    **environment: str,
) -> Generator[Clients]:
    """Start the server, and request each of *paths*, and of *unread* without reading responses.

    The clients connect *after* so many seconds. Each of *unfinished* is sent by one more client.
    """
    with (
        ThreadPoolExecutor(len(paths) + 1) as pool,
        serve(
            command(name, *options, app=app), log=folder / "log", environment=environment
        ) as server,
        ExitStack() as others,
    ):
        try:
            server.log_lines(" opened$", at_least=2 if "workers 2" in name else 1)
            time.sleep(after)
            for said in (*unfinished, *map(request_for, unread)):
                others.enter_context(_said(server, said))
            responses = {path: pool.submit(request, server, path) for path in paths}
            for path in (*paths, *unread):
                server.log_lines(f" {path}: begun$")
            yield Clients(server, responses)
        finally:
            server.process.kill()


def request(server: Server, path: str) -> str:
    """Return the response, or why there is none; for a WebSocket, return its close code."""
    if path in _WEBSOCKETS:
        return _websocket(server, path)
    try:
        response = httpx.get(f"{server.url}/{path}", timeout=PATIENCE)
    except httpx.TransportError as error:
        return f"cut: {error!r}"
    return f"{response.status_code} {response.text}"


def _websocket(server: Server, path: str) -> str:
    try:
        with connect(
            f"{server.websocket_url}/{path}", proxy=None, open_timeout=PATIENCE
        ) as connection:
            while True:
                connection.recv(PATIENCE)
    except ConnectionClosed as closed:
        return str(closed.rcvd.code if closed.rcvd else 1006)
    except (WebSocketException, OSError) as error:
        return f"cut: {error!r}"


def request_for(path: str) -> str:
    """Return the head of a request, or of the handshake of a WebSocket."""
    upgrade = _UPGRADE if path in _WEBSOCKETS else ""
    return f"GET /{path} HTTP/1.1\r\nhost: localhost\r\n{upgrade}\r\n"


def _said(server: Server, said: str) -> socket.socket:
    """Send the text *said*, and leave the response unread; it may be larger than all buffers."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((HOST, server.port))
    client.sendall(said.encode())
    return client


def _ended_well(path: str, got: str) -> bool:
    if path in _WEBSOCKETS:
        # granian drops WebSockets whose app waits for a message.
        return got in ("1000", "1006", "1012")
    if path in ("slow", "sync"):
        return got == "200 whole"
    return re.fullmatch(r"200 (part\n)+", got) is not None


def end_of(process: "subprocess.Popen[bytes]", within: float) -> str:
    """Wait at most *within* seconds for the process to end, and return how it ended."""
    try:
        status = process.wait(within)
    except subprocess.TimeoutExpired:
        return "goes on"
    return "SIGTERM" if status == -signal.SIGTERM else f"{status}"


def open_contexts(server: Server) -> dict[int, int]:
    """Return the number of contexts that are still open in each process that served."""
    return {
        int(process): said.count("opened") - said.count("closed")
        for process, said in events(server).items()
    }


def until_closed(server: Server) -> None:
    """Wait until each process that served has exited its context."""
    server.until(lambda: set(open_contexts(server).values()) == {0}, "exit of each context")


def replaced(
    clients: Clients, old: Collection[int], meanwhile: Callable[[], object] = lambda: None
) -> bool:
    """Wait for other processes to replace the *old* ones; return whether they do.

    The old processes must exit their contexts, and all *clients* must be done.
    """
    deadline = time.monotonic() + 3 * PATIENCE
    while time.monotonic() < deadline:
        meanwhile()
        now = open_contexts(clients.server)
        closed = not any(now[process] for process in old)
        if closed and len(now) >= 2 * len(old) and clients.all_done:
            return True
        time.sleep(0.05)
    return False


def kill(server: Server, number: int) -> None:
    os.kill(server.process.pid, number)


def _table(heading: str) -> list[list[str]]:
    """Return the cells of the table that docs/deployment.md has under *heading*."""
    page = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| (.*) \|$", section, re.MULTILINE)
    return [
        [cell.strip().replace("`", "") for cell in line.split("|")]
        for line in (lines[0], *lines[2:])
    ]


def matrix(heading: str) -> Mapping[tuple[str, str], str]:
    """Return the cells of a table by the names of their row and column."""
    (_, *columns), *lines = _table(heading)
    return {
        (name, column): cell
        for name, *cells in lines
        for column, cell in zip(columns, cells, strict=True)
    }


def rows(heading: str) -> list[Any]:
    """Return the rows of a table that are for the running version of Python."""
    _, *lines = _table(heading)
    other = "3.12 and newer" if sys.version_info < (3, 12) else "3.11"
    return [
        pytest.param(cells, id=server_of(cells[0]))
        for cells in lines
        if not cells[0].endswith(f"Python {other}")
    ]


def server_of(name: str) -> str:
    """Return the server in the first cell of a row, which may also name a version of Python."""
    return name.partition(", Python")[0]
