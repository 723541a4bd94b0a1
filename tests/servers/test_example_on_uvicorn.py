"""Real traffic to the example project on uvicorn, with httpx and websockets as clients."""

import http.client
import json
import re
import signal
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from .example import UVICORN
from .server import HOST, PATIENCE, Server, serve

pytestmark = pytest.mark.process

ORIGIN = "http://localhost:3000"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type",
}

every_response = pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        pytest.param("GET", "/", {}, 200, id="page"),
        pytest.param("GET", "/status/", {}, 200, id="async view"),
        pytest.param("GET", "/notes/", {}, 200, id="sync view"),
        pytest.param("GET", "/echo/", {}, 200, id="Starlette"),
        pytest.param("GET", "/static/inspector/inspector.css", {}, 200, id="static file"),
        pytest.param("GET", "/missing/", {}, 404, id="404"),
        pytest.param("GET", "/fail/", {}, 500, id="500"),
        pytest.param("OPTIONS", "/notes/", PREFLIGHT, 204, id="preflight"),
    ],
)


@pytest.fixture(scope="module")
def server(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("uvicorn") / "log"
    with serve(UVICORN, log=log, environment=environment) as server:
        yield server


@pytest.fixture(scope="module")
def production(
    production_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    pytest.importorskip("pythonjsonlogger", reason="needs python-json-logger, see `example`")
    log = tmp_path_factory.mktemp("production") / "log"
    changes = {"DJANGO_ALLOWED_HOSTS": "example.org", "DJANGO_CORS_ORIGINS": ""}
    with serve(UVICORN, log=log, environment={**production_environment, **changes}) as server:
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, headers={"origin": ORIGIN}, timeout=30) as client:
        yield client


@every_response
def test_every_response_has_the_request_id_of_its_request(
    method: str, path: str, headers: Mapping[str, str], status: int, client: httpx.Client
) -> None:
    response = client.request(method, path, headers={**headers, "x-request-id": "from-the-caller"})

    assert (response.status_code, response.headers.get_list("x-request-id")) == (
        status,
        ["from-the-caller"],
    )


@every_response
def test_every_response_has_the_apps_time_in_server_timing(
    method: str, path: str, headers: Mapping[str, str], status: int, client: httpx.Client
) -> None:
    response = client.request(method, path, headers=headers)

    assert re.match(r"app;dur=\d+\.\d(,|$)", response.headers["server-timing"])


@every_response
def test_every_response_may_be_read_by_an_allowed_origin(
    method: str, path: str, headers: Mapping[str, str], status: int, client: httpx.Client
) -> None:
    response = client.request(method, path, headers=headers)

    assert response.headers.get_list("access-control-allow-origin") == [ORIGIN]


def test_a_response_may_not_be_read_by_another_origin(client: httpx.Client) -> None:
    response = client.get("/", headers={"origin": "https://other.example"})

    assert "access-control-allow-origin" not in response.headers


def test_the_response_to_a_preflight_lists_methods_and_headers(client: httpx.Client) -> None:
    response = client.options("/notes/", headers=PREFLIGHT)

    assert (
        response.headers["access-control-allow-methods"],
        response.headers["access-control-allow-headers"],
    ) == (
        "GET, POST",
        "content-type, x-csrftoken, x-request-id, accept, accept-language, content-language, range",
    )


def test_a_request_without_an_id_gets_a_new_one(client: httpx.Client) -> None:
    assert re.fullmatch(r"[0-9a-f]{32}", client.get("/").headers["x-request-id"])


def test_a_note_from_the_form_is_saved_and_shown(client: httpx.Client) -> None:
    page = client.get("/").text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token

    # With the page's own origin, as a browser sends the page's form.
    response = client.post(
        "/notes/",
        data={"text": "over the wire", "csrfmiddlewaretoken": token[1]},
        headers={"origin": str(client.base_url).rstrip("/")},
        follow_redirects=True,
    )

    assert ">over the wire <time" in response.text


def test_the_response_to_a_handshake_has_the_request_id(server: Server) -> None:
    with connect(
        f"{server.websocket_url}/ws/echo/",
        additional_headers={"x-request-id": "of-the-handshake"},
        open_timeout=PATIENCE,
    ) as socket:
        assert socket.response is not None
        assert socket.response.status_code == 101
        assert socket.response.headers.get_all("x-request-id") == ["of-the-handshake"]


def test_a_consumer_sees_the_request_id_of_its_handshake(server: Server) -> None:
    with connect(
        f"{server.websocket_url}/ws/echo/",
        additional_headers={"x-request-id": "of-the-handshake"},
        open_timeout=PATIENCE,
    ) as socket:
        assert json.loads(socket.recv(30)) == {
            "type": "welcome",
            "user": "anonymous",
            "request_id": "of-the-handshake",
        }


def test_a_consumer_echoes_a_message(server: Server) -> None:
    with connect(f"{server.websocket_url}/ws/echo/", open_timeout=PATIENCE) as socket:
        socket.recv(30)  # the welcome
        socket.send('["hello"]')

        assert json.loads(socket.recv(30)) == {"type": "echo", "content": ["hello"]}


def test_a_websocket_to_an_unknown_path_is_refused_without_an_error(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with serve(UVICORN, log=tmp_path / "log", environment=environment) as server:
        with pytest.raises(InvalidStatus) as refused:
            connect(f"{server.websocket_url}/ws/nowhere/", open_timeout=PATIENCE)
        server.stop(signal.SIGINT)

    assert refused.value.response.status_code == 403
    assert re.findall("WARNING|ERROR|Traceback", server.log()) == []


@pytest.mark.parametrize(
    ("path", "logger", "message"),
    [
        pytest.param("/", "uvicorn.access", '"GET / HTTP/1.1" 200', id="the server's access log"),
        pytest.param("/", "asgi_middleware.access", "GET / 200 ", id="access log"),
        pytest.param("/missing/", "django.request", "Not Found: /missing/", id="404"),
        pytest.param("/fail/", "django.request", "Internal Server Error: /fail/", id="500"),
    ],
)
def test_a_log_line_has_the_request_id_and_is_written_once(
    path: str, logger: str, message: str, server: Server, client: httpx.Client
) -> None:
    request_id = f"{logger}-of-{path.strip('/') or 'the-page'}"
    client.get(path, headers={"x-request-id": request_id})
    server.log_lines(rf" {logger} \[{request_id}\] ")
    # Once a later request is in the log, so is everything about this one.
    client.get("/status/", headers={"x-request-id": f"after-{request_id}"})
    server.log_lines(rf"uvicorn\.access \[after-{request_id}\]")

    lines = [line for line in server.log().splitlines() if f" {logger} [{request_id}] " in line]

    assert len(lines) == 1
    assert message in lines[0]


def test_the_log_line_of_a_handshake_has_the_request_id(server: Server) -> None:
    with connect(
        f"{server.websocket_url}/ws/echo/",
        additional_headers={"x-request-id": "in-the-log"},
        open_timeout=PATIENCE,
    ):
        lines = server.log_lines(r'uvicorn\.error \[in-the-log\] .*"WebSocket /ws/echo/"')

    assert lines[0].endswith("[accepted]")


def test_a_view_reads_what_the_lifespan_context_wrote(server: Server, client: httpx.Client) -> None:
    (line,) = server.log_lines("example_project.lifespan .* open: serving since")
    written = datetime.fromisoformat(line.rpartition(" ")[2])

    read = datetime.fromisoformat(client.get("/status/").json()["started_at"])

    # JSON has milliseconds, the log has microseconds.
    assert read == written.replace(microsecond=written.microsecond // 1000 * 1000)


def test_starlette_and_django_share_what_startup_opened(client: httpx.Client) -> None:
    of_starlette = datetime.fromisoformat(client.get("/echo/").json()["started_at"])
    of_django = datetime.fromisoformat(client.get("/status/").json()["started_at"])

    assert of_django == of_starlette.replace(microsecond=of_django.microsecond)
    assert of_starlette.microsecond // 1000 == of_django.microsecond // 1000


def test_starlette_finds_what_its_own_lifespan_put_into_the_state(client: httpx.Client) -> None:
    first, second = (client.get("/echo/").json()["number"] for _ in range(2))

    assert second == first + 1


def test_a_call_to_another_service_carries_the_request_id(client: httpx.Client) -> None:

    outer = client.get("/outgoing/", headers={"x-request-id": "through-both"}).json()
    inner = outer["response"]

    assert (outer["request_id"], inner["request_id"]) == ("through-both",) * 2
    # This is the client that startup opened, not the test's own.
    assert inner["user_agent"].startswith("python-httpx/")


def test_a_background_task_works_while_the_process_serves(client: httpx.Client) -> None:
    with client.stream("GET", "/ticks/") as response:
        lines = (line for line in response.iter_lines() if line)
        first, second = next(lines), next(lines)

    assert int(second.removeprefix("data: ")) == int(first.removeprefix("data: ")) + 1


def test_a_view_hands_work_to_a_background_task(server: Server, client: httpx.Client) -> None:
    pattern = r"example_project\.notes\.tasks \[-\] forgot \d+ old notes"
    before = len(re.findall(pattern, server.log()))
    client.get("/")

    response = client.post(
        "/notes/",
        data={"text": "one more", "csrfmiddlewaretoken": client.cookies["csrftoken"]},
        headers={"origin": str(client.base_url).rstrip("/")},
    )

    assert response.status_code == 302
    server.log_lines(pattern, at_least=before + 1)


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
@pytest.mark.parametrize(
    "headers", [{"host": "10.0.0.1"}, {}], ids=["by its address", "without a Host"]
)
def test_a_probe_gets_a_200_even_if_django_would_refuse_its_host(
    headers: dict[str, str], path: str, production: Server
) -> None:
    assert _status(production, path, headers) == 200
    assert _status(production, "/status/", headers) == 400


def test_readiness_reports_on_the_database(client: httpx.Client) -> None:
    assert client.get("/readyz").json() == {"status": "ready", "checks": {"database": "ok"}}


def test_a_warning_about_an_option_is_a_json_line_in_production(production: Server) -> None:
    [line] = production.log_lines("no origin is allowed")

    fields = json.loads(line)
    assert (fields["level"], fields["logger"]) == ("WARNING", "py.warnings")


def test_streams_and_websockets_end_before_what_they_use_is_closed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with serve(UVICORN, log=tmp_path / "log", environment=environment) as server:
        with (
            connect(f"{server.websocket_url}/ws/echo/", open_timeout=PATIENCE) as socket,
            httpx.stream("GET", f"{server.url}/ticks/", timeout=PATIENCE) as response,
        ):
            socket.recv(PATIENCE)  # the welcome
            events = response.iter_text()
            assert re.fullmatch(r"data: \d+\n\n", next(events))
            server.process.send_signal(signal.SIGTERM)
            # httpx raises an exception if the body is cut off.
            rest = "".join(events)
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(PATIENCE)
        status = server.process.wait(PATIENCE)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert re.fullmatch(r"(data: \d+\n\n)*", rest)
    assert status == -signal.SIGTERM
    assert _steps(server) == [
        "open: serving",
        "open: the client",
        "open: the counter",
        "closed: the stream",
        "closed: the counter",
        "closed: the client",
        "closed: served",
    ]
    assert re.findall("WARNING|ERROR|Traceback|Warning", server.log()) == []


def test_during_the_hold_the_probe_fails_and_requests_are_served(
    production_environment: dict[str, str], tmp_path: Path
) -> None:
    drain = {"DRAIN_HOLD": "600", "DRAIN_GRACE": "1"}
    with serve(
        UVICORN, log=tmp_path / "log", environment={**production_environment, **drain}
    ) as server:
        assert _status(server, "/readyz") == 200
        server.process.send_signal(signal.SIGTERM)
        server.until(lambda: _status(server, "/readyz") == 503, "end of readiness")
        assert _status(server, "/echo/") == 200

        # The second signal ends the hold.
        assert server.stop() == -signal.SIGTERM


@pytest.mark.parametrize(
    ("signal_number", "status"),
    [
        pytest.param(signal.SIGINT, 0, id="SIGINT"),
        # uvicorn raises the signal again when it is done, so the process ends by the signal.
        pytest.param(signal.SIGTERM, -signal.SIGTERM, id="SIGTERM"),
    ],
)
def test_a_signal_closes_what_startup_opened(
    signal_number: int, status: int, environment: dict[str, str], tmp_path: Path
) -> None:
    with serve(UVICORN, log=tmp_path / "log", environment=environment) as server:
        assert server.stop(signal_number) == status

    assert _steps(server) == [
        "open: serving",
        "open: the client",
        "open: the counter",
        "closed: the counter",
        "closed: the client",
        "closed: served",
    ]


def test_a_server_logs_no_warning_from_start_to_end(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with serve(UVICORN, log=tmp_path / "log", environment=environment) as server:
        httpx.get(server.url, timeout=30)
        with connect(f"{server.websocket_url}/ws/echo/", open_timeout=PATIENCE) as socket:
            socket.recv(30)
        server.stop(signal.SIGINT)

    assert re.findall("WARNING|ERROR|Traceback|Warning", server.log()) == []


def _steps(server: Server) -> list[str]:
    """Return the first words of each log line about something that opens or closes."""
    return re.findall(
        r" example_project\.\S+ \[\S+\] ((?:open|closed): (?:the )?\w+)", server.log()
    )


def _status(server: Server, path: str, headers: Mapping[str, str] | None = None) -> int:
    """Return the status of a request with *headers*; it has no Host unless they include one."""
    connection = http.client.HTTPConnection(HOST, server.port, timeout=PATIENCE)
    try:
        connection.putrequest("GET", path, skip_host=True, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection.getresponse().status
    finally:
        connection.close()
