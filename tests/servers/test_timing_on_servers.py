"""On real servers: clients that leave, handshakes that fail, and who sees the access log."""

import json
import re
import socket
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from .server import HOST, PATIENCE, SERVERS, Server, command, serve

pytest.importorskip("prometheus_client", reason="needs prometheus-client, see `prometheus`")

pytestmark = pytest.mark.process

APPLICATION = "tests.servers.apps.timing:application"


@pytest.fixture(scope="module", params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    pytest.importorskip(request.param, reason=f"needs {request.param}")
    log = tmp_path_factory.mktemp(request.param) / "log"
    with serve(command(request.param, APPLICATION), log=log) as server:
        yield server


def records(server: Server, route: str) -> list[dict[str, Any]]:
    """Return the records of *route* so far."""
    found = re.findall(r"^record (.*)\n", server.log(), re.MULTILINE)
    return [record for line in found if (record := json.loads(line))["route"] == route]


@pytest.mark.parametrize(
    ("kind", "status", "label"),
    [
        pytest.param("async", None, "499", id="async view"),
        pytest.param("sync", None, "499", id="sync view"),
        pytest.param("stream", 200, "200", id="stream"),
    ],
)
def test_a_client_that_leaves_is_recorded_once_as_a_disconnect(
    kind: str, status: int | None, label: str, server: Server
) -> None:
    path = f"/waiting/{kind}/"
    with socket.create_connection((HOST, server.port), timeout=PATIENCE) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        server.log_lines(f"^reached {path}")
    server.log_lines(f"^disconnect at {path}")
    httpx.get(f"{server.url}/release/", timeout=PATIENCE)
    route = path.lstrip("/")
    server.until(lambda: bool(records(server, route)), f"record of {path}")

    metrics = httpx.get(f"{server.url}/metrics/", timeout=PATIENCE).text
    assert records(server, route) == [{"outcome": "disconnect", "status": status, "route": route}]
    counts = re.findall(
        r"^http_server_request_duration_seconds_count\{(.*)\} (.*)$", metrics, re.MULTILINE
    )
    assert (f'method="GET",route="{route}",status="{label}"', "1.0") in counts
    assert [labels for labels, _ in counts if 'status="5' in labels] == []


HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


@contextmanager
def handshake(server: Server, path: str) -> Generator[socket.socket]:
    with socket.create_connection((HOST, server.port), timeout=PATIENCE) as client:
        client.sendall(HANDSHAKE.format(path=path, host=HOST).encode())
        yield client


def failed_handshakes(server: Server) -> list[tuple[str, str]]:
    metrics = httpx.get(f"{server.url}/metrics/", timeout=PATIENCE).text
    return re.findall(
        r"^websocket_server_failed_handshakes_total\{(.*)\} (.*)$", metrics, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("kind", "outcome", "status"),
    [
        pytest.param("close", "refused", 403, id="closed"),
        pytest.param("deny", "refused", 401, id="denied"),
        pytest.param("raise", "error", 500, id="raised"),
    ],
)
def test_the_record_of_a_failed_handshake_has_the_status_that_was_sent(
    kind: str, outcome: str, status: int, server: Server
) -> None:
    name = server.process.args[2]  # type: ignore[index]
    if (kind, name) == ("deny", "daphne"):
        pytest.skip("Daphne does not offer the denial response")
    path = f"/ws/{kind}/"
    with handshake(server, path) as client:
        line = client.recv(1000).partition(b"\r\n")[0].decode()

    # granian sends a 403 for every handshake that is not accepted.
    sent = 403 if (kind, name) == ("raise", "granian") else status
    assert line.split()[1] == str(sent)
    [record] = server.log_lines(f"^{path} ")
    found = json.loads(record.removeprefix(f"{path} "))
    assert (found["outcome"], found["status"]) == (outcome, status)
    labels = f'outcome="{outcome}",route="unmatched",status="{status}"'
    assert (labels, "1.0") in failed_handshakes(server)


def test_a_client_that_leaves_during_the_handshake_is_recorded_once_as_a_disconnect(
    server: Server,
) -> None:
    if server.process.args[2] == "granian":  # type: ignore[index]
        pytest.skip("granian does not tell an app that has not accepted")
    with handshake(server, "/ws/leave/"):
        server.log_lines("^reached /ws/leave/")

    [record] = server.log_lines("^/ws/leave/ ")
    assert json.loads(record.removeprefix("/ws/leave/ "))["outcome"] == "disconnect"
    assert ('outcome="disconnect",route="unmatched",status="499"', "1.0") in failed_handshakes(
        server
    )


def test_the_access_log_is_visible_or_one_warning_says_how_to_make_it_so(server: Server) -> None:
    # The project configures no logging. Daphne configures logging for the whole process.
    for _ in range(2):
        httpx.get(f"{server.url}/release/", timeout=PATIENCE)

    is_visible = server.process.args[2] == "daphne"  # type: ignore[index]
    lines = server.log_lines(
        "the access log is not visible|GET /release/ 200 ttfb_ms=", at_least=2 if is_visible else 1
    )
    assert (len(lines) > 1) == is_visible
