"""CORS on the wire, with each server: the tests send raw bytes and read what comes back."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from http.client import BadStatusLine, HTTPMessage, HTTPResponse
from typing import NamedTuple

import pytest

from .apps.cors import ORIGIN
from .server import HOST, PATIENCE, Server, command, serve

pytestmark = pytest.mark.process

APP = "tests.servers.apps.cors:application"
SERVERS = {
    "uvicorn-httptools": command("uvicorn", APP, "--http", "httptools"),
    "uvicorn-h11": command("uvicorn", APP, "--http", "h11"),
    **{name: command(name, APP) for name in ("hypercorn", "granian", "daphne")},
}
# The possible statuses of a request with a header that is too long. None: the server closes the
# connection without a response. A server that responds before it has read everything, and then
# closes, may reset the connection, and the response is lost:
# https://www.rfc-editor.org/rfc/rfc9112#section-9.6
ONE_MEGABYTE: Mapping[str, set[int | None]] = {
    # The server has no limit. The 403 comes from the middleware.
    "uvicorn-httptools": {403},
    "uvicorn-h11": {400, None},
    "hypercorn": {431, None},
    "granian": {431, None},
    # Daphne closes the connection if a line is too long, and sends a 400 if there are too many.
    "daphne": {400, None},
}

ALLOWED = f"Origin: {ORIGIN}"
OTHER = "Origin: https://other.example"
FOR_PUT = "Access-Control-Request-Method: PUT"
UPGRADE = (
    *("Connection: Upgrade", "Upgrade: websocket"),
    *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
)


class Response(NamedTuple):
    status: int
    headers: HTTPMessage

    def getall(self, name: str) -> list[str]:
        return self.headers.get_all(name, [])


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def server(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    log = tmp_path_factory.mktemp(name) / "log"
    with serve(SERVERS[name], log=log) as server:
        yield server


def test_the_response_to_a_simple_request_names_its_origin(server: Server) -> None:
    response = _ask(server, "GET", ALLOWED)

    assert response is not None
    assert response.status == 200
    assert response.getall("access-control-allow-origin") == [ORIGIN]
    assert response.getall("vary") == ["Origin"]


def test_blanks_around_an_origin_are_ignored(server: Server) -> None:
    # Some servers strip the blanks. httptools keeps those at the end.
    response = _ask(server, "GET", f"Origin: \t {ORIGIN} \t")

    assert response is not None
    assert response.getall("access-control-allow-origin") == [ORIGIN]
    assert _status(server, "GET", f"Origin:  {ORIGIN}  ", *UPGRADE) == 101


def test_the_response_to_a_preflight_grants_the_method_it_asks_for(server: Server) -> None:
    response = _ask(
        server, "OPTIONS", ALLOWED, FOR_PUT, "Access-Control-Request-Headers: X-Note, x-note"
    )

    assert response is not None
    assert response.status == 204
    assert response.getall("access-control-allow-origin") == [ORIGIN]
    assert response.getall("access-control-allow-methods") == ["PUT"]
    assert response.getall("content-length") == []


@pytest.mark.parametrize("second", [ALLOWED, OTHER], ids=["the same twice", "two origins"])
@pytest.mark.parametrize(
    ("method", "more", "status"),
    [("GET", [], 200), ("OPTIONS", [FOR_PUT], 403)],
    ids=["simple request", "preflight"],
)
def test_a_request_with_two_origin_lines_counts_as_having_no_origin(
    second: str, method: str, more: Sequence[str], status: int, server: Server
) -> None:
    response = _ask(server, method, ALLOWED, second, *more)

    assert response is not None
    assert response.status == status
    assert response.getall("access-control-allow-origin") == []
    assert "Origin" in response.headers["vary"]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["x," * 500_000], id="one line"),
        pytest.param(["x," * 2_000] * 250, id="250 lines"),
    ],
)
def test_a_megabyte_of_header_names_does_no_harm(
    lines: Sequence[str], name: str, server: Server
) -> None:
    asked = [f"Access-Control-Request-Headers: {line}" for line in lines]

    assert _status(server, "OPTIONS", ALLOWED, FOR_PUT, *asked) in ONE_MEGABYTE[name]
    assert _status(server, "GET", ALLOWED) == 200


@pytest.mark.parametrize(
    ("origins", "status"),
    [
        pytest.param([ALLOWED], 101, id="allowed origin"),
        pytest.param([OTHER], 403, id="other origin"),
        pytest.param([], 403, id="no origin"),
        pytest.param(["Origin: null"], 403, id="null"),
    ],
)
def test_a_websocket_handshake_gets_a_403_unless_its_origin_is_allowed(
    origins: Sequence[str], status: int, server: Server
) -> None:
    assert _status(server, "GET", *origins, *UPGRADE) == status


def test_a_websocket_handshake_with_two_origin_lines_is_refused(name: str, server: Server) -> None:
    # With uvicorn, the websockets library refuses it before the app is called.
    expected = 400 if name.startswith("uvicorn") else 403

    assert _status(server, "GET", ALLOWED, ALLOWED, *UPGRADE) == expected


def test_a_refused_handshake_is_in_the_log(server: Server) -> None:
    _ask(server, "GET", "Origin: https://logged.example", *UPGRADE)

    assert server.log_lines(
        f"websocket refused: origin 'https://logged.example', host '{HOST}', path '/'"
    )


def _status(server: Server, method: str, *lines: str) -> int | None:
    response = _ask(server, method, *lines)
    return None if response is None else response.status


def _ask(server: Server, method: str, *lines: str) -> Response | None:
    """Send a request on a new connection; return None if the server closes without a response."""
    head = [f"{method} / HTTP/1.1", f"Host: {HOST}", *lines, "", ""]
    with socket.create_connection((HOST, server.port), timeout=PATIENCE) as connection:
        # A server that refuses the request may close the connection before it has read everything.
        with suppress(ConnectionError):
            connection.sendall("\r\n".join(head).encode())
        response = HTTPResponse(connection, method=method)
        try:
            response.begin()
        except (ConnectionError, BadStatusLine):
            return None
        finally:
            response.close()
        return Response(response.status, response.headers)
