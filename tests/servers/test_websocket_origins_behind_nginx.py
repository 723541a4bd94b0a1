"""The site's own WebSockets behind nginx, with the headers that docs/cors.md shows."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path

import pytest

from .missing import program
from .server import HOST, PATIENCE, Server, command, free_port, serve
from .test_nginx import MAIN

pytestmark = pytest.mark.process

DOCS = Path(__file__).resolve().parents[2] / "docs" / "cors.md"

# The line in nginx's configuration for each way to pass the host on.
HEADERS = {
    "$http_host": "proxy_set_header Host $http_host;",
    "$host": "proxy_set_header Host $host;",
    "its default": "",
    "X-Forwarded-Host": "proxy_set_header X-Forwarded-Host $http_host;",
}
CAUSES = {
    "$host": "a proxy may have dropped the port; use $http_host instead of $host in nginx",
    "its default": "a proxy may have rewritten Host; use proxy_set_header Host $http_host",
    "X-Forwarded-Host": "X-Forwarded-Host names the page's host; use trusted_host_header",
}

SERVER = """
    server {{
        listen {host}:{port};
        location / {{
            proxy_pass http://{host}:{behind};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            {headers}
        }}
    }}
"""


@pytest.fixture(scope="module", params=["own", "forwarded"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    application = f"tests.servers.apps.cors:{request.param}"
    log = tmp_path_factory.mktemp("uvicorn") / request.param
    with serve(command("uvicorn", application), log=log) as server:
        yield server


@pytest.fixture(scope="module")
def ports(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, int]]:
    """The port of nginx for each row of HEADERS."""
    nginx = program("nginx", "nginx")
    folder = tmp_path_factory.mktemp("nginx")
    with ExitStack() as stack:
        ports = {name: stack.enter_context(free_port()) for name in HEADERS}
        servers = [
            SERVER.format(host=HOST, port=port, behind=server.port, headers=HEADERS[name])
            for name, port in ports.items()
        ]
        (folder / "site.conf").write_text("".join(servers), encoding="utf-8")
        user = "user root;" if os.geteuid() == 0 else ""
        configuration = folder / "nginx.conf"
        configuration.write_text(MAIN.format(folder=folder, user=user), encoding="utf-8")
        process = subprocess.Popen(
            [nginx, "-c", configuration, "-p", folder], stdin=subprocess.DEVNULL
        )
        stack.callback(process.wait, PATIENCE)
        stack.callback(process.terminate)
        for port in ports.values():
            _until_it_listens(port, process)
        yield ports


@pytest.mark.parametrize("name", HEADERS)
def test_the_sites_own_websocket_opens_if_nginx_passes_host_on(
    name: str, server: Server, ports: dict[str, int], request: pytest.FixtureRequest
) -> None:
    is_trusting = "forwarded" in request.node.name
    port = ports[name]
    is_passed_on = name == "$http_host" or (name == "X-Forwarded-Host" and is_trusting)

    assert _handshake(port, f"http://{HOST}:{port}") == (101 if is_passed_on else 403)
    if not is_passed_on:
        origin = f"origin 'http://{HOST}:{port}'"
        [line] = server.log_lines(f"websocket refused: {origin}")
        assert CAUSES[name] in line


@pytest.mark.parametrize("name", HEADERS)
def test_a_websocket_of_another_site_is_refused(name: str, ports: dict[str, int]) -> None:
    assert _handshake(ports[name], "http://evil.example") == 403


def test_the_docs_show_the_headers_that_these_tests_use() -> None:
    docs = DOCS.read_text(encoding="utf-8")

    assert HEADERS["$http_host"] in docs
    assert HEADERS["X-Forwarded-Host"] in docs


def _handshake(port: int, origin: str) -> int:
    """Return the status of a handshake through nginx."""
    head = (
        *("GET / HTTP/1.1", f"Host: {HOST}:{port}", f"Origin: {origin}"),
        *("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        *("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""),
    )
    with socket.create_connection((HOST, port), timeout=PATIENCE) as connection:
        connection.sendall("\r\n".join(head).encode())
        with HTTPResponse(connection, method="GET") as response:
            response.begin()
            return response.status


def _until_it_listens(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            with socket.create_connection((HOST, port), timeout=PATIENCE):
                return
        except OSError:
            assert process.poll() is None, "nginx has ended"
            assert time.monotonic() < deadline, "nginx does not listen"
            time.sleep(0.05)
