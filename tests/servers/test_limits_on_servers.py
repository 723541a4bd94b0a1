"""What a client sees of the limits on each server."""

import asyncio
import select
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest

from .limits import MAX_BODY_SIZE
from .server import HOST, PATIENCE, Server, command, serve

pytest.importorskip("h2", reason="needs h2, which hypercorn brings")

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ResponseReceived

pytestmark = pytest.mark.process

SERVERS = {
    "uvicorn, h11": ("uvicorn", "--http", "h11"),
    "uvicorn, httptools": ("uvicorn", "--http", "httptools"),
    "hypercorn": ("hypercorn",),
    "granian": ("granian",),
    "daphne": ("daphne",),
}


@pytest.fixture(scope="module", params=SERVERS)
def name(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(scope="module")
def server(name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server, *options = SERVERS[name]
    start = command(server, "tests.servers.apps.limits:application", *options)
    with serve(start, log=tmp_path_factory.mktemp("limits") / "log") as running:
        yield running


def connected(server: Server) -> socket.socket:
    return socket.create_connection((HOST, server.port), timeout=PATIENCE)


def head(*headers: str) -> bytes:
    return "\r\n".join(("POST / HTTP/1.1", "Host: testserver", *headers, "", "")).encode()


def response_on(connection: socket.socket) -> HTTPResponse:
    response = HTTPResponse(connection)
    response.begin()
    return response


def refusal(name: str, server: Server) -> HTTPResponse:
    """Return the response to a client that announces a body that is too large.

    The client does not send the body: if it did, its connection might be reset before it had read
    the response.
    """
    with connected(server) as connection:
        connection.sendall(head(f"Content-Length: {MAX_BODY_SIZE + 1}"))
        if name == "daphne":  # Daphne calls the app only once it has the whole body
            connection.sendall(b"x" * (MAX_BODY_SIZE + 1))
        return response_on(connection)


def chunk(size: int) -> bytes:
    """Return a part of a chunked body.

    The part that exceeds the limit should have one byte. A server refuses a longer part before it
    has read all of it, and then resets the connection.
    """
    return b"%x\r\n%s\r\n" % (size, b"x" * size)


def send_until(connection: socket.socket, deadline: float) -> None:
    while time.monotonic() < deadline:
        connection.sendall(b"x" * 1_000_000)


def test_a_body_within_the_limit_is_read(server: Server) -> None:
    response = httpx.post(server.url, content=b"x" * MAX_BODY_SIZE, timeout=PATIENCE)

    assert (response.status_code, response.text) == (200, str(MAX_BODY_SIZE))


def test_an_announced_length_is_refused_before_the_body_is_sent(name: str, server: Server) -> None:
    response = refusal(name, server)

    assert response.status == 413
    assert "larger than this server accepts" in response.read().decode()


def test_a_chunked_body_is_refused_once_it_is_too_large(name: str, server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(head("Transfer-Encoding: chunked"))
        for size in (*[20_000] * (MAX_BODY_SIZE // 20_000), 1):
            connection.sendall(chunk(size))
        if name == "daphne":
            connection.sendall(b"0\r\n\r\n")
        response = response_on(connection)

        assert response.status == 413


def test_a_client_that_expects_100_continue_gets_a_413_unless_the_server_itself_continues(
    name: str, server: Server
) -> None:
    with connected(server) as connection:
        connection.sendall(head(f"Content-Length: {MAX_BODY_SIZE + 1}", "Expect: 100-continue"))
        received = connection.recv(100)

    # These two servers send 100 Continue on their own, before they call the app.
    on_its_own = name in ("daphne", "hypercorn")
    assert received.startswith(b"HTTP/1.1 100" if on_its_own else b"HTTP/1.1 413")


def test_a_client_that_keeps_sending_is_cut_off(name: str, server: Server) -> None:
    if name == "daphne":
        pytest.skip("Daphne reads the whole body before it calls the app")
    deadline = time.monotonic() + PATIENCE
    with connected(server) as connection:
        connection.sendall(head("Content-Length: 10000000000"))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            send_until(connection, deadline)


def test_a_client_that_stops_gets_a_408(name: str, server: Server) -> None:
    if name == "daphne":
        pytest.skip("Daphne reads the whole body before it calls the app")
    with connected(server) as connection:
        connection.sendall(head("Content-Length: 1000") + b"x" * 10)
        response = response_on(connection)

        assert response.status == 408
        assert response.read() == b"The request body did not arrive in time.\n"


def test_a_response_that_is_late_is_a_504(server: Server) -> None:
    response = httpx.get(f"{server.url}/late/", timeout=PATIENCE)

    assert response.status_code == 504
    assert response.text == "The server did not respond in time.\n"


def test_a_late_response_to_head_is_a_504_without_a_body(server: Server) -> None:
    with httpx.Client(base_url=server.url, timeout=PATIENCE) as client:
        late = client.head("/late/")
        served = client.post("/", content=b"x")

    assert (late.status_code, late.content) == (504, b"")
    assert served.text == "1"


REJECTED = [
    pytest.param("/django/nowhere/", "127.0.0.1", 404, id="no such page"),
    pytest.param("/django/protected/", "evil.example", 400, id="forbidden Host"),
    pytest.param("/django/protected/", "127.0.0.1", 403, id="no CSRF token"),
]
MIB = 1024 * 1024


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
@pytest.mark.parametrize(("path", "host", "status"), REJECTED)
def test_64_mib_that_django_would_reject_are_refused_before_django_gets_more_than_the_limit(
    name: str, server: Server, path: str, host: str, status: int, announced: bool
) -> None:
    if name == "daphne":
        pytest.skip("Daphne reads the whole body before it calls the app")
    before = httpx.get(f"{server.url}/counts/", timeout=PATIENCE).json()
    about_body = f"Content-Length: {64 * MIB}" if announced else "Transfer-Encoding: chunked"
    start = f"POST {path} HTTP/1.1\r\nHost: {host}\r\n{about_body}\r\n\r\n".encode()
    with connected(server) as connection:
        connection.sendall(start)
        for size in () if announced else (MAX_BODY_SIZE - 10_000, 10_000, 1):
            # Only the part that exceeds the limit gets a response.
            assert not select.select([connection], [], [], 0.2)[0]
            connection.sendall(chunk(size))
        response = response_on(connection)
    after = httpx.get(f"{server.url}/counts/", timeout=PATIENCE).json()

    assert response.status == 413
    assert after["files"] == before["files"]
    assert after["requests"] - before["requests"] == (0 if announced else 1)
    assert after["bytes"] - before["bytes"] <= MAX_BODY_SIZE


@pytest.mark.parametrize(("path", "host", "status"), REJECTED)
def test_django_itself_rejects_a_request_within_the_limit(
    server: Server, path: str, host: str, status: int
) -> None:
    response = httpx.post(
        f"{server.url}{path}", content=b"x", headers={"host": host}, timeout=PATIENCE
    )

    assert response.status_code == status


def test_a_flood_of_bodies_that_are_too_large_is_logged_once(name: str, server: Server) -> None:
    for _ in range(50):
        assert refusal(name, server).status == 413

    assert len(server.log_lines("a request body was refused")) == 1


def test_the_server_still_serves_after_refusals(name: str, server: Server) -> None:
    for _ in range(3):
        assert refusal(name, server).status == 413

    assert httpx.post(server.url, content=b"x", timeout=PATIENCE).text == "1"


def test_no_refusal_puts_a_traceback_into_the_log(server: Server) -> None:
    """This test comes last, after all refusals."""
    assert "Traceback" not in server.log()


def test_a_413_over_http_2_has_no_header_that_http_2_forbids(tmp_path: Path) -> None:
    start = command("hypercorn", "tests.servers.apps.limits:application")
    with serve(start, log=tmp_path / "log") as server:
        refused = refused_over_http_2(server)
        served = httpx.post(server.url, content=b"x", timeout=PATIENCE)

    assert refused[b":status"] == b"413"
    assert b"connection" not in refused
    assert served.text == "1"


def refused_over_http_2(server: Server) -> dict[bytes, bytes]:
    """Return the headers of the response to a client that announces a body that is too large.

    The client sends no body: hypercorn drops the connection if a body follows its response.
    """
    client = H2Connection(H2Configuration(header_encoding=None))
    client.initiate_connection()
    head = {":method": "POST", ":scheme": "http", ":authority": "testserver", ":path": "/"}
    client.send_headers(1, [*head.items(), ("content-length", str(MAX_BODY_SIZE + 1))])
    with connected(server) as connection:
        connection.sendall(client.data_to_send())
        while received := connection.recv(65536):
            for event in client.receive_data(received):
                if isinstance(event, ResponseReceived):
                    return {bytes(name): bytes(value) for name, value in event.headers}
    raise AssertionError("the server closed the connection without a response")


async def test_two_hundred_clients_that_trickle_get_a_408_while_others_are_served(
    tmp_path: Path,
) -> None:
    start = command("uvicorn", "tests.servers.apps.limits:application")
    with serve(start, log=tmp_path / "log") as server:

        async def trickle() -> bytes:
            loop = asyncio.get_running_loop()
            with socket.socket() as client:
                client.setblocking(False)
                await loop.sock_connect(client, (HOST, server.port))
                await loop.sock_sendall(client, head("Content-Length: 1000"))
                responded = asyncio.create_task(loop.sock_recv(client, 1000))
                while not responded.done():
                    # Even if the server has reset the connection, the response can still be read.
                    with suppress(ConnectionError):
                        await loop.sock_sendall(client, b"x")
                    await asyncio.wait({responded}, timeout=0.2)
                return (await responded).partition(b"\r\n")[0]

        async with asyncio.timeout(PATIENCE * 2), httpx.AsyncClient(timeout=PATIENCE) as client:
            trickling = [asyncio.create_task(trickle()) for _ in range(200)]
            await asyncio.sleep(0.5)
            others = [(await client.post(server.url, content=b"x")).text for _ in range(20)]
            lines = await asyncio.gather(*trickling)

    assert others == ["1"] * 20
    assert lines == [b"HTTP/1.1 408 Request Timeout"] * 200
