"""Request IDs on real servers: in what the servers log, and which clients may choose one."""

import json
import re
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from .server import HOST, PATIENCE, Server, serve

pytestmark = pytest.mark.process

APPLICATION = "tests.servers.apps.request_id:application"
# The loggers of the servers, whose lines go to a handler with the filter.
LOGGERS = (
    *("uvicorn", "uvicorn.access", "uvicorn.error", "hypercorn.access", "hypercorn.error"),
    *("_granian", "granian.access", "daphne.server"),
)
LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "asgi_middleware.RequestIDFilter"}},
    "formatters": {"line": {"format": "%(name)s [%(request_id)s] %(message)s"}},
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "filters": ["request_id"],
            "formatter": "line",
        }
    },
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {name: {"handlers": [], "propagate": True} for name in LOGGERS},
}
COMMANDS = {
    "uvicorn": ("uvicorn", APPLICATION, "--port", "{port}", "--log-config", "{logging}"),
    "hypercorn": (
        *("hypercorn", APPLICATION, "--bind", f"{HOST}:{{port}}", "--access-logfile", "-"),
        *("--log-config", "json:{logging}"),
    ),
    "granian": (
        *("granian", APPLICATION, "--interface", "asgi", "--host", HOST, "--port", "{port}"),
        *("--access-log", "--log-config", "{logging}"),
    ),
    "daphne": ("daphne", APPLICATION, "-b", HOST, "-p", "{port}"),
}
# What each server logs about an exception of the app, and about a request.
EXCEPTION = {
    "uvicorn": r"uvicorn\.error \[(.*?)\] Exception in ASGI application",
    "hypercorn": r"hypercorn\.error \[(.*?)\] Error in ASGI Framework",
    "granian": r"_granian\S* \[(.*?)\] Application callable raised an exception",
    "daphne": r"daphne\.server \[(.*?)\] Exception inside application",
}
ACCESS = {
    "uvicorn": r"uvicorn\.access \[(.*?)\] .*GET /access",
    "hypercorn": r"hypercorn\.access \[(.*?)\] .*GET /access",
    "granian": r"granian\.access \[(.*?)\] .*GET /access",
}


def command(name: str, folder: Path) -> list[str]:
    logging = folder / "logging.json"
    logging.write_text(json.dumps(LOGGING))
    return [
        *(sys.executable, "-m"),
        *(part.replace("{logging}", str(logging)) for part in COMMANDS[name]),
    ]


@pytest.fixture(scope="module", params=COMMANDS)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    pytest.importorskip(found, reason=f"needs {found}")
    return found


@pytest.fixture(scope="module")
def server(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(name)
    run = command(name, folder)
    environment = {"LOGGING": str(folder / "logging.json")} if name == "daphne" else {}
    with serve(run, log=folder / "log", environment=environment) as server:
        yield server


def test_the_log_line_about_an_exception_has_the_request_id(name: str, server: Server) -> None:
    response = httpx.get(
        f"{server.url}/fail", headers={"x-request-id": "it-failed"}, timeout=PATIENCE
    )

    assert response.status_code == 500
    # Daphne logs outside the context of the request.
    expected = "-" if name == "daphne" else "it-failed"
    assert server.log_lines(EXCEPTION[name].replace("(.*?)", expected))


def test_each_line_of_the_access_log_has_the_id_of_its_request(name: str, server: Server) -> None:
    if name not in ACCESS:
        pytest.skip("Daphne writes its access log to a file, not to logging")
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:  # one connection
        for request_id in ("first", "second"):
            client.get("/access", headers={"x-request-id": request_id})

    lines = server.log_lines(ACCESS[name], at_least=2)
    assert re.findall(ACCESS[name], "\n".join(lines)) == ["first", "second"]


def test_pipelined_requests_do_not_share_an_id(server: Server) -> None:
    head = "GET / HTTP/1.1\r\nHost: a\r\n"
    sent = f"{head}X-Request-ID: first\r\n\r\n" + f"{head}\r\n" + f"{head}Connection: close\r\n\r\n"

    with socket.create_connection((HOST, server.port), timeout=PATIENCE) as client:
        client.sendall(sent.encode())
        responses = b"".join(iter(lambda: client.recv(65536), b"")).decode()

    echoed = re.findall(r"(?i)^x-request-id: (.*?)\r$", responses, re.MULTILINE)
    seen = re.findall(r"(?i)^x-seen: (.*?)\r$", responses, re.MULTILINE)
    assert echoed == seen
    assert echoed[0] == "first"
    assert [len(request_id) for request_id in echoed] == [5, 32, 32]
    assert len(set(echoed)) == 3


def test_the_response_to_an_accepted_handshake_echoes_the_request_id(
    name: str, server: Server
) -> None:
    headers = {"x-request-id": "abc"}

    with connect(
        server.websocket_url, additional_headers=headers, proxy=None, open_timeout=PATIENCE
    ) as socket:
        assert socket.response is not None
        sent = socket.response.headers

    # Granian 2.8 and Daphne send no headers when they accept a handshake, neither ours nor the
    # app's.
    sends_headers = name not in ("granian", "daphne")
    assert sent.get_all("x-app") == ["echo"] * sends_headers
    assert sent.get_all("x-request-id") == ["abc"] * sends_headers


@pytest.mark.parametrize("headers", [{}, {"origin": "https://app.example"}], ids=["", "origin"])
def test_the_servers_own_500_has_no_id(headers: dict[str, str], server: Server) -> None:
    response = httpx.get(f"{server.url}/fail", headers=headers, timeout=PATIENCE)

    assert response.status_code == 500
    assert "x-request-id" not in response.headers


def test_the_servers_own_400_has_no_id(server: Server) -> None:
    with socket.create_connection((HOST, server.port), timeout=PATIENCE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nno header\r\n\r\n")
        response = b"".join(iter(lambda: client.recv(65536), b""))

    assert response.startswith(b"HTTP/1.1 400 ")
    assert b"x-request-id" not in response.lower()


@pytest.mark.parametrize(
    ("path", "status", "sent"),
    [
        pytest.param("/close", 403, [], id="the server's own 403"),
        pytest.param("/deny", 401, ["abc"], id="the app's own response"),
    ],
)
def test_a_refused_handshake_has_the_id_if_the_app_responds(
    path: str, status: int, sent: list[str], name: str, server: Server
) -> None:
    if path == "/deny" and name == "daphne":
        pytest.skip("Daphne lets no app respond to a handshake")

    with pytest.raises(InvalidStatus) as refused:
        connect(
            server.websocket_url + path,
            additional_headers={"x-request-id": "abc"},
            proxy=None,
            open_timeout=PATIENCE,
        )

    assert refused.value.response.status_code == status
    assert refused.value.response.headers.get_all("x-request-id") == sent


@pytest.mark.parametrize("blanks", [pytest.param(" \t", id="blank and tab"), ""])
def test_blanks_around_a_request_id_are_trimmed(blanks: str, server: Server) -> None:
    head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    sent = f"{head}X-Request-ID:{blanks}abc{blanks}\r\n\r\n"

    with socket.create_connection((HOST, server.port), timeout=PATIENCE) as client:
        client.sendall(sent.encode())
        response = b"".join(iter(lambda: client.recv(65536), b"")).decode()

    assert re.findall(r"(?i)^x-seen: (.*?)\r$", response, re.MULTILINE) == ["abc"]


@pytest.mark.parametrize(
    ("options", "forwarded", "kept"),
    [
        pytest.param([], {}, True, id="no proxy"),
        pytest.param([], {"x-forwarded-for": "203.0.113.7"}, False, id="the end user, by default"),
        pytest.param(
            ["--no-proxy-headers"], {"x-forwarded-for": "203.0.113.7"}, True, id="the proxy"
        ),
    ],
)
def test_under_uvicorn_the_client_is_the_address_that_the_proxy_forwards(
    options: list[str], forwarded: dict[str, str], kept: bool, tmp_path: Path
) -> None:
    run = [*command("uvicorn", tmp_path), *options]
    headers = {"x-request-id": "abc", **forwarded}

    with serve(run, log=tmp_path / "log", environment={"TRUSTED": "127.0.0.0/8"}) as server:
        response = httpx.get(server.url, headers=headers, timeout=PATIENCE)

    assert (response.headers["x-request-id"] == "abc") == kept


# Listens on a port, which shows that the process runs, and then becomes the server.
HOLDING_A_PORT = (
    "import os, socket, sys; listener = socket.create_server(('127.0.0.1', int(sys.argv[1])));"
    "listener.set_inheritable(True);"
    "os.execv(sys.executable, [sys.executable, '-m', *sys.argv[2:]])"
)
ON_A_UNIX_SOCKET = {
    "uvicorn": ("uvicorn", APPLICATION, "--uds", "{path}"),
    "hypercorn": ("hypercorn", APPLICATION, "--bind", "unix:{path}"),
    "granian": ("granian", APPLICATION, "--interface", "asgi", "--uds", "{path}"),
    "daphne": ("daphne", APPLICATION, "-u", "{path}"),
}


@pytest.mark.parametrize(("trusted", "kept"), [("unix", True), ("127.0.0.0/8", False)])
@pytest.mark.parametrize("name", ON_A_UNIX_SOCKET)
def test_a_client_on_a_unix_socket_is_trusted_if_unix_is_listed(
    name: str, trusted: str, kept: bool, tmp_path: Path
) -> None:
    pytest.importorskip(name, reason=f"needs {name}")
    path = tmp_path / "socket"
    run = [part.replace("{path}", str(path)) for part in ON_A_UNIX_SOCKET[name]]

    def listens() -> bool:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            return True
        return False

    with (
        serve(
            (sys.executable, "-c", HOLDING_A_PORT, "{port}", *run),
            log=tmp_path / "log",
            environment={"TRUSTED": trusted},
        ) as server,
        httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=PATIENCE) as client,
    ):
        server.until(listens, f"server on {path}")
        response = client.get("http://testserver/", headers={"x-request-id": "abc"})

    assert (response.headers["x-request-id"] == "abc") == kept
