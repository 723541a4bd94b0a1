"""Probes on real servers: sent to an IP address, with a body pending, or during startup."""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

import httpx
import pytest

from .apps.lifespan.settings import HEADERS
from .lifespan import ONE_PROCESS, serving
from .server import HOST, PATIENCE, Server

pytestmark = pytest.mark.process

FIFTY_MEGABYTES = 50_000_000

probes = pytest.mark.parametrize("path", ["/livez", "/readyz"])


@pytest.fixture(scope="module", params=ONE_PROCESS)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def server(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(name, tmp_path_factory.mktemp("health")) as server:
        server.until(lambda: ready(server) == 200, "readiness")
        yield server


def test_django_alone_refuses_what_a_probe_sends(server: Server) -> None:
    by_address = httpx.get(f"{server.url}/state", timeout=PATIENCE)
    without_tls = httpx.get(
        f"{server.url}/state", headers={"host": HEADERS["host"]}, timeout=PATIENCE
    )

    assert (by_address.status_code, without_tls.status_code) == (400, 301)


@probes
@pytest.mark.parametrize(
    "head",
    [
        pytest.param(f"GET {{path}} HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n", id="by IP"),
        pytest.param("GET {path} HTTP/1.0\r\n", id="without a Host"),
        pytest.param(
            f"GET {{path}} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {FIFTY_MEGABYTES}\r\n",
            id="50 MB of body pending",
        ),
    ],
)
def test_a_probe_gets_its_response_without_django(
    head: str, path: str, name: str, server: Server
) -> None:
    log = server.log()
    # Daphne does not call the app until it has read the whole body.
    body_is_read = name == "daphne" and "Content-Length" in head

    with socket.create_connection((HOST, server.port), timeout=PATIENCE) as connection:
        connection.sendall(f"{head.format(path=path)}\r\n".encode())
        if body_is_read:
            connection.sendall(bytes(FIFTY_MEGABYTES))
        status, body = response_on(connection)

    assert (status, body["status"]) == (200, {"/livez": "live", "/readyz": "ready"}[path])
    assert "request_started" not in server.log().removeprefix(log)


@pytest.mark.parametrize("name", ONE_PROCESS)
def test_a_server_is_ready_once_startup_is_over(name: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    with serving(name, tmp_path, {"GATE": str(gate)}, listening=False) as server:
        server.log_lines("first opened")
        if name == "daphne":
            server.until(lambda: ready(server) == 503, "response during startup")
        else:  # the other servers do not listen yet, or do not respond
            assert ready(server) is None
        gate.touch()
        server.until(lambda: ready(server) == 200, "readiness")

    [*_, line] = [line for line in server.log().splitlines() if "opened" in line]
    assert line.endswith("second opened")


def ready(server: Server) -> int | None:
    """Return the status of ``/readyz``, or None if there is no response."""
    try:
        return httpx.get(f"{server.url}/readyz", timeout=1).status_code
    except httpx.TransportError:
        return None


def response_on(connection: socket.socket) -> tuple[int, Any]:
    """Return the status and the JSON of the response on *connection*."""
    response = HTTPResponse(connection)
    response.begin()
    with response:
        return response.status, json.loads(response.read())
