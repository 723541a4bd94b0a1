"""On real servers, a client that leaves makes one record, and nothing that looks like an error."""

import json
import re
import socket
from collections.abc import Iterator
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
    found = re.findall(r"^record (.*)$", server.log(), re.MULTILINE)
    return [record for line in found if (record := json.loads(line))["route"] == route]


@pytest.mark.parametrize(
    ("kind", "status", "label"),
    [
        pytest.param("async", None, "499", id="async view"),
        pytest.param("sync", None, "499", id="sync view"),
        pytest.param("stream", 200, "200", id="stream"),
    ],
)
def test_a_client_that_leaves_makes_one_record_of_a_disconnect(
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
