"""CORS on the wire, as each server puts it there: raw bytes in, what comes back out."""

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
# What a header that is too long comes to. None: the server hangs up without a word. One
# that answers before it has read everything and then hangs up may reset the connection,
# and its answer with it: https://www.rfc-editor.org/rfc/rfc9112#section-9.6
ONE_MEGABYTE: Mapping[str, set[int | None]] = {
    # No limit: it is the middleware that refuses.
    "uvicorn-httptools": {403},
    "uvicorn-h11": {400, None},
    "hypercorn": {431, None},
    "granian": {431, None},
    # It hangs up on a line that is too long, and answers where there are too many.
    "daphne": {400, None},
}

ALLOWED = f"Origin: {ORIGIN}"
OTHER = "Origin: https://other.example"
FOR_PUT = "Access-Control-Request-Method: PUT"
UPGRADE = (
    *("Connection: Upgrade", "Upgrade: websocket"),
    *("Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
)


class Answer(NamedTuple):
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


def test_a_simple_request_is_answered_for_its_origin(server: Server) -> None:
    answer = _ask(server, "GET", ALLOWED)

    assert answer is not None
    assert answer.status == 200
    assert answer.getall("access-control-allow-origin") == [ORIGIN]
    assert answer.getall("vary") == ["Origin"]


def test_a_preflight_is_answered(server: Server) -> None:
    answer = _ask(
        server, "OPTIONS", ALLOWED, FOR_PUT, "Access-Control-Request-Headers: X-Note, x-note"
    )

    assert answer is not None
    assert answer.status == 204
    assert answer.getall("access-control-allow-origin") == [ORIGIN]
    assert answer.getall("access-control-allow-methods") == ["PUT"]
    assert answer.getall("content-length") == []


@pytest.mark.parametrize("second", [ALLOWED, OTHER], ids=["twice the same", "two origins"])
@pytest.mark.parametrize(
    ("method", "more", "status"),
    [("GET", [], 200), ("OPTIONS", [FOR_PUT], 403)],
    ids=["simple request", "preflight"],
)
def test_two_lines_of_origin_are_no_origin(
    second: str, method: str, more: Sequence[str], status: int, server: Server
) -> None:
    answer = _ask(server, method, ALLOWED, second, *more)

    assert answer is not None
    assert answer.status == status
    assert answer.getall("access-control-allow-origin") == []
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["x," * 500_000], id="one line"),
        pytest.param(["x," * 2_000] * 250, id="250 lines"),
    ],
)
def test_a_megabyte_of_names_does_no_harm(lines: Sequence[str], name: str, server: Server) -> None:
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
def test_a_websocket_handshake_from_elsewhere_is_a_403(
    origins: Sequence[str], status: int, server: Server
) -> None:
    assert _status(server, "GET", *origins, *UPGRADE) == status


def test_a_websocket_handshake_with_two_lines_of_origin_is_refused(
    name: str, server: Server
) -> None:
    # uvicorn's websockets refuses it before the app is called.
    expected = 400 if name.startswith("uvicorn") else 403

    assert _status(server, "GET", ALLOWED, ALLOWED, *UPGRADE) == expected


def test_a_refused_handshake_is_in_the_log(server: Server) -> None:
    _ask(server, "GET", "Origin: https://logged.example", *UPGRADE)

    assert server.log_lines(
        f"websocket refused: origin 'https://logged.example', host '{HOST}', path '/'"
    )


def _status(server: Server, method: str, *lines: str) -> int | None:
    answer = _ask(server, method, *lines)
    return None if answer is None else answer.status


def _ask(server: Server, method: str, *lines: str) -> Answer | None:
    """Send such a request on a connection of its own; None if the server just hangs up."""
    head = [f"{method} / HTTP/1.1", f"Host: {HOST}", *lines, "", ""]
    with socket.create_connection((HOST, server.port), timeout=PATIENCE) as connection:
        # One that refuses may not read to the end.
        with suppress(ConnectionError):
            connection.sendall("\r\n".join(head).encode())
        response = HTTPResponse(connection, method=method)
        try:
            response.begin()
        except (ConnectionError, BadStatusLine):
            return None
        finally:
            response.close()
        return Answer(response.status, response.headers)
