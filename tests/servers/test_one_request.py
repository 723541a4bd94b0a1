"""Everything that an operator finds with the ID from a user's screenshot, on a real server."""

import json
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from .example import UVICORN
from .server import PATIENCE, Server, manage, serve

pytest.importorskip("pythonjsonlogger", reason="needs python-json-logger, see `example`")

pytestmark = pytest.mark.process

ID = "from-a-screenshot"
PASSWORD = "for tests"


@dataclass
class Line:
    level: str
    logger: str
    request_id: str
    message: str
    fields: dict[str, Any]


@dataclass
class Found:
    """What happened to a request that failed and to a WebSocket, both with our ID."""

    failed: httpx.Response
    welcome: dict[str, Any]
    page: dict[str, httpx.Response]
    """The page as an anonymous visitor sees it, and as staff see it."""
    metrics: dict[str, httpx.Response]
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float]
    log: str
    lines: list[Line]

    def lines_of(self, logger: str) -> list[tuple[str, str]]:
        """Return the level and the message of each line that *logger* wrote with our ID."""
        return [
            (line.level, line.message)
            for line in self.lines
            if (line.logger, line.request_id) == (logger, ID)
        ]

    def sample(self, name: str, **labels: str) -> float | None:
        return self.samples.get((name, frozenset(labels.items())))


# Session scope, like the database: the user is still there when a worker returns to this module.
@pytest.fixture(scope="session")
def with_staff(environment: dict[str, str]) -> dict[str, str]:
    """The environment, with a staff user in its database."""
    staff = {**environment, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    who = ("--username", "ada", "--email", "ada@example.org")
    manage(staff, "createsuperuser", "--noinput", *who)
    return environment


@pytest.fixture(scope="module")
def development(with_staff: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Found:
    return followed(with_staff, tmp_path_factory.mktemp("development"))


@pytest.fixture(scope="module")
def production(
    with_staff: dict[str, str],
    production_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Found:
    return followed({**with_staff, **production_environment}, tmp_path_factory.mktemp("production"))


@pytest.fixture(params=["development", "production"])
def found(request: pytest.FixtureRequest) -> Found:
    found: Found = request.getfixturevalue(request.param)
    return found


def followed(environment: dict[str, str], folder: Path) -> Found:
    with serve(UVICORN, log=folder / "log", environment=environment) as server:
        staff = {"cookie": session_cookie(server)}
        headers = {"x-request-id": ID}
        failed = httpx.get(f"{server.url}/fail/?token=secret", headers=headers, timeout=PATIENCE)
        with connect(
            f"{server.websocket_url}/ws/echo/",
            additional_headers={**headers, **staff, "origin": server.url},
            open_timeout=PATIENCE,
        ) as socket:
            welcome = json.loads(socket.recv(PATIENCE))
        for each in ("GET /login/", "POST /login/", "GET /fail/", "WEBSOCKET /ws/echo/"):
            wait_for_record(server, each)
        visitors: dict[str, dict[str, str]] = {"staff": staff, "anonymous": {}}
        page, metrics = {}, {}
        for visitor, cookie in visitors.items():
            page[visitor] = httpx.get(f"{server.url}/notes/", headers=cookie, timeout=PATIENCE)
            wait_for_record(server, "GET /notes/", at_least=len(page))
            metrics[visitor] = httpx.get(f"{server.url}/metrics", headers=cookie, timeout=PATIENCE)
        server.stop(signal.SIGINT)
    samples = samples_of(metrics["staff"].text)
    lines = list(lines_of(server.log()))
    return Found(failed, welcome, page, metrics, samples, server.log(), lines)


def wait_for_record(server: Server, call: str, *, at_least: int = 1) -> None:
    """Wait for the access log, which comes a moment after the client has its response."""
    server.log_lines(rf"asgi_middleware\.access.*{call} ", at_least=at_least)


def session_cookie(server: Server) -> str:
    """Log in, and return the session cookie; a client would not send it over plain HTTP."""
    url = f"{server.url}/login/"
    form = httpx.get(url, timeout=PATIENCE)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
    assert token
    response = httpx.post(
        url,
        data={"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": token[1]},
        headers={"cookie": f"csrftoken={form.cookies['csrftoken']}"},
        timeout=PATIENCE,
    )
    return f"sessionid={response.cookies['sessionid']}"


def samples_of(text: str) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def lines_of(log: str) -> Iterator[Line]:
    """Read a log of text or JSON lines; leave out tracebacks between lines of text."""
    for line in log.splitlines():
        if line.startswith("{"):
            fields = json.loads(line)
            yield Line(
                fields.pop("level"),
                fields.pop("logger"),
                fields.pop("request_id"),
                fields.pop("message"),
                fields,
            )
        elif text := re.fullmatch(r"\S+ \S+ ([A-Z]+) (\S+) \[(\S+)\] (.*)", line):
            level, logger, request_id, message = text.groups()
            yield Line(level, logger, request_id, message, {})


def test_the_response_has_the_request_id(found: Found) -> None:
    assert (found.failed.status_code, found.failed.headers["x-request-id"]) == (500, ID)


def test_the_consumer_sees_the_request_id_and_the_user(found: Found) -> None:
    assert found.welcome == {"type": "welcome", "user": "ada", "request_id": ID}


@pytest.mark.parametrize(
    ("logger", "level", "message"),
    [
        pytest.param(
            "asgi_middleware.access",
            "INFO",
            r"GET /fail/ 500 ttfb_ms=\d+\.\d+ duration_ms=\d+\.\d+ bytes_sent=\d+ outcome=ok"
            rf" client=127\.0\.0\.1 request_id={ID} route=fail/",
            id="access log",
        ),
        pytest.param(
            "asgi_middleware.access",
            "INFO",
            r"WEBSOCKET /ws/echo/ close_code=1000 accepted_ms=\d+\.\d+ duration_ms=\d+\.\d+"
            rf" outcome=ok client=127\.0\.0\.1 request_id={ID} route=ws/echo/",
            id="access log, of the socket",
        ),
        pytest.param(
            "django.request", "ERROR", "Internal Server Error: /fail/", id="django.request"
        ),
        pytest.param(
            "uvicorn.error", "INFO", r'.* - "WebSocket /ws/echo/" \[accepted\]', id="uvicorn.error"
        ),
        pytest.param("example_project.inspector.consumers", "INFO", "welcomed ada", id="consumer"),
    ],
)
def test_each_logger_writes_one_line_with_the_request_id(
    logger: str, level: str, message: str, found: Found
) -> None:
    matching = [line for line in found.lines_of(logger) if re.fullmatch(message, line[1])]

    assert [line[0] for line in matching] == [level]


def test_in_development_the_servers_own_access_log_has_the_request_id(development: Found) -> None:
    [(level, message)] = development.lines_of("uvicorn.access")

    assert level == "INFO"
    assert message.endswith('"GET /fail/?token=secret HTTP/1.1" 500')


def test_in_production_the_server_writes_no_access_log_of_its_own(production: Found) -> None:
    assert [line for line in production.lines if line.logger == "uvicorn.access"] == []


def test_in_production_every_log_line_is_json(production: Found) -> None:
    lines = production.log.splitlines()

    assert len(lines) == len(production.lines) > 0
    assert {line[0] for line in lines} == {"{"}


def test_a_json_line_has_the_fields_of_the_access_log(production: Found) -> None:
    [line] = [
        line
        for line in production.lines
        if (line.logger, line.request_id) == ("asgi_middleware.access", ID)
        and line.message.startswith("GET")
    ]
    measured = {name: line.fields.pop(name) for name in ("ttfb_ms", "duration_ms")}

    assert all(isinstance(value, float) for value in measured.values())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", line.fields.pop("time"))
    assert line.fields == {
        "method": "GET",
        "path": "/fail/",
        "status": 500,
        "bytes_sent": len(production.failed.content),
        "outcome": "ok",
        "client": "127.0.0.1",
        "route": "fail/",
    }


def test_a_json_line_has_the_exception(production: Found) -> None:
    [line] = [
        line
        for line in production.lines
        if (line.logger, line.request_id) == ("django.request", ID)
    ]

    assert line.fields["exception"].endswith("RuntimeError: raised on purpose, by the view /fail/")


def test_in_production_no_query_string_is_logged(production: Found) -> None:
    assert "secret" not in production.log


@pytest.mark.parametrize(
    ("name", "labels", "value"),
    [
        pytest.param(
            "http_server_request_duration_seconds_count",
            {"method": "GET", "status": "500", "route": "fail/"},
            1.0,
            id="request",
        ),
        pytest.param(
            "websocket_server_connection_duration_seconds_count",
            {"outcome": "ok", "route": "ws/echo/"},
            1.0,
            id="socket",
        ),
        pytest.param("websocket_server_active_connections", {}, 0.0, id="open sockets"),
        pytest.param("http_server_active_requests", {"method": "GET"}, 1.0, id="this request"),
    ],
)
def test_the_metrics_count_requests_and_sockets(
    name: str, labels: dict[str, str], value: float, found: Found
) -> None:
    assert found.sample(name, **labels) == value


def test_the_metrics_do_not_count_a_websocket_as_a_request(found: Found) -> None:
    routes = {
        dict(labels).get("route")
        for name, labels in found.samples
        if name == "http_server_request_duration_seconds_count"
    }

    assert routes == {"login/", "fail/", "notes/"}


@pytest.mark.parametrize("visitor", ["anonymous", "staff"])
def test_in_development_everybody_sees_timings_and_metrics(
    visitor: str, development: Found
) -> None:
    assert phases(development.page[visitor]) == ["app", "db", "notes", "render"]
    assert development.metrics[visitor].status_code == 200


@pytest.mark.parametrize(
    ("visitor", "timings", "status"),
    [
        pytest.param("anonymous", [], 404, id="anonymous"),
        pytest.param("staff", ["app", "db", "notes", "render"], 200, id="staff"),
    ],
)
def test_in_production_only_staff_see_timings_and_metrics(
    visitor: str, timings: list[str], status: int, production: Found
) -> None:
    assert phases(production.page[visitor]) == timings
    assert production.metrics[visitor].status_code == status


def phases(response: httpx.Response) -> list[str]:
    """Return the names in the Server-Timing header."""
    entries = response.headers.get("server-timing", "")
    return re.findall(r"(?:^|, )(\w+);dur=\d+\.\d", entries)


def test_processes_that_share_a_folder_add_up_their_figures(
    environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "metrics"
    folder.mkdir()
    shared = {**environment, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    name = "http_server_request_duration_seconds_count"
    labels = frozenset({"method": "GET", "status": "200", "route": "status/"}.items())
    counts: list[float] = []
    # One process after the other: with two at once, you cannot tell which one gets a request.
    for log in ("first", "second"):
        with serve(UVICORN, log=tmp_path / log, environment=shared) as server:
            httpx.get(f"{server.url}/status/", timeout=PATIENCE)
            wait_for_record(server, "GET /status/")
            metrics = httpx.get(f"{server.url}/metrics", timeout=PATIENCE).text
            counts.append(samples_of(metrics)[name, labels])
            server.stop(signal.SIGINT)

    assert counts == [1.0, 2.0]
    # The gauges of a process that has ended are removed.
    assert list(folder.glob("gauge_live*")) == []
