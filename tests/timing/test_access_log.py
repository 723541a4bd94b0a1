import json
import logging
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_middleware import (
    AccessLog,
    RequestIDFilter,
    RequestIDMiddleware,
    TimingMiddleware,
)
from asgi_middleware.testing import HandshakeRefused, request, websocket
from asgi_middleware.timing import RequestTiming
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import START, answering, doing, echo, hello

LOGGER = "asgi_middleware.access"
FIELDS = (
    *("method", "path", "status", "ttfb_ms", "duration_ms"),
    *("bytes_sent", "outcome", "client", "route"),
)


class LogRecords(logging.Handler):
    """Keep the records of a logger, unchanged by the filters of other handlers."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def log() -> Iterator[LogRecords]:
    with recorded_from(LOGGER) as handler:
        yield handler


@contextmanager
def recorded_from(name: str) -> Generator[LogRecords]:
    logger, handler = logging.getLogger(name), LogRecords()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


def logging_app(app: ASGIApp = hello, **options: Any) -> ASGIApp:
    """Return *app* with a log, on a clock that advances by 1.5 ms at each reading."""
    ticks: Iterator[float] = count(0, 0.0015)
    return TimingMiddleware(app, observers=[AccessLog(**options)], clock=lambda: next(ticks))


def line(log: LogRecords) -> logging.LogRecord:
    [record] = log.records
    return record


async def gives_up(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


async def gives_up_between(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await receive()


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("mine")


async def test_a_request_is_one_line_of_text(log: LogRecords) -> None:
    def view(scope: Scope) -> None:
        scope["state"]["timing"].route = "notes/<int:pk>/"

    await request(
        RequestIDMiddleware(logging_app(doing(view))),
        "POST",
        "/notes/7/?token=secret",
        headers={"x-request-id": "abc"},
    )

    assert line(log).levelno == logging.INFO
    assert line(log).getMessage() == (
        "POST /notes/7/ 200 ttfb_ms=1.5 duration_ms=3.0 bytes_sent=5 outcome=ok"
        " client=127.0.0.1 request_id=abc route=notes/<int:pk>/"
    )


async def test_a_request_is_one_line_of_json(log: LogRecords) -> None:
    await request(logging_app(answering(status=404)), "GET", "/missing/")

    record = line(log)
    assert json.loads(json.dumps({name: record.__dict__[name] for name in FIELDS})) == {
        "method": "GET",
        "path": "/missing/",
        "status": 404,
        "ttfb_ms": 1.5,
        "duration_ms": 3.0,
        "bytes_sent": 0,
        "outcome": "ok",
        "client": "127.0.0.1",
        "route": "unmatched",
    }


@pytest.mark.parametrize(
    ("app", "options", "text", "status"),
    [
        pytest.param(fails, {}, " 500 ttfb_ms=- duration_ms=1.5 ", 500, id="raised"),
        pytest.param(gives_up, {"disconnect_at": 1}, " 499 ttfb_ms=- ", 499, id="client left"),
        pytest.param(
            gives_up_between,
            {"disconnect_at": 2},
            " 200 ttfb_ms=1.5 ",
            200,
            id="client left during the response",
        ),
        pytest.param(gives_up, {"cancel_at": 1}, " - ttfb_ms=- ", None, id="cancelled"),
    ],
)
async def test_the_line_of_an_incomplete_request_shows_how_it_ended(
    app: ASGIApp,
    options: Mapping[str, Any],
    text: str,
    status: int | None,
    log: LogRecords,
) -> None:
    await request(logging_app(app), raise_app_exceptions=False, **options)

    assert text in line(log).getMessage()
    assert line(log).__dict__["status"] == status


@pytest.mark.parametrize(
    ("scope", "field", "shown"),
    [
        pytest.param({"path": "/a\nERROR"}, "path", "/a%0AERROR", id="line break"),
        pytest.param({"path": "/a b\x1b[31m"}, "path", "/a%20b%1B%5B31m", id="space, escape"),
        pytest.param({"path": "/50%25"}, "path", "/50%2525", id="percent sign"),
        pytest.param({"path": "/caf\xe9"}, "path", "/caf%C3%A9", id="not ASCII"),
        pytest.param({"path": "/\udcff"}, "path", "/%3F", id="surrogate"),
        pytest.param(
            {"path": "/a@b:c;d=e,f"}, "path", "/a@b:c;d=e,f", id="characters that are kept"
        ),
        pytest.param({"method": "GET\nX"}, "method", "GET%0AX", id="method"),
        pytest.param({"method": "BREW"}, "method", "BREW", id="unknown method"),
        pytest.param({"client": ("::1", 1)}, "client", "::1", id="IPv6"),
        pytest.param({"client": ("a\nb", 0)}, "client", "a%0Ab", id="forged address"),
        pytest.param({"client": None}, "client", None, id="unknown address"),
    ],
)
async def test_a_client_cannot_forge_a_line(
    scope: Mapping[str, Any],
    field: str,
    shown: str | None,
    log: LogRecords,
) -> None:
    await request(logging_app(), scope=scope)

    assert line(log).__dict__[field] == shown
    assert (shown or "client=- ") in line(log).getMessage()


@given(path=st.text(), method=st.text(min_size=1), client=st.text())
def test_a_line_is_printable_ascii_whatever_a_client_sends(
    path: str, method: str, client: str
) -> None:
    record = RequestTiming(
        {"type": "http", "path": path, "method": method, "client": (client, 1)}, float, 0.0
    )
    record.settle("ok")

    with recorded_from(LOGGER) as log:
        AccessLog().responded(record)

    text = line(log).getMessage()
    assert text.isascii()
    assert text.isprintable()
    assert len(text.split(" ")) == 10


async def test_the_line_cuts_long_fields(log: LogRecords) -> None:
    def view(scope: Scope) -> None:
        scope["state"]["timing"].route = "r" * 5000

    # Like the scope from a server that accepts 60 kB of %ff.
    scope = {"path": "/" + "\udcff" * 60_000, "method": "\n" * 9000, "client": (":" * 9000, 1)}
    await request(logging_app(doing(view)), scope=scope)

    fields = line(log).__dict__
    lengths = [len(fields[name]) for name in ("path", "method", "client", "route")]
    # In the first two, a byte is shown as three characters, which the cut never splits.
    assert lengths == [2047, 2046, 2048, 2048]
    assert fields["path"][-6:] == "%3F..."
    assert fields["method"][-6:] == "%0A..."
    assert fields["route"][-4:] == "r..."
    assert len(line(log).getMessage()) < 4 * 2048 + 200


@pytest.mark.parametrize(
    ("path", "length", "end"),
    [
        pytest.param("/" + "a" * 2047, 2048, "aaaa", id="2,048"),
        pytest.param("/" + "a" * 2048, 2048, "a...", id="2,049"),
        pytest.param("/" + "\n" * 682, 2047, "%0A", id="2,047 when quoted"),
        pytest.param("/a" + "\n" * 682, 2048, "%0A", id="2,048 when quoted"),
        pytest.param("/aa" + "\n" * 682, 2046, "%0A...", id="2,049 when quoted"),
        pytest.param("/" + "\U0001f40d" * 2047, 2047, "...", id="twelve times as long when quoted"),
    ],
)
async def test_the_path_in_a_line_has_at_most_2048_characters(
    path: str, length: int, end: str, log: LogRecords
) -> None:
    await request(logging_app(), scope={"path": path})

    shown = line(log).__dict__["path"]
    assert (len(shown), shown[-len(end) :]) == (length, end)


async def test_a_line_is_logged_while_the_app_still_works_after_its_response(
    log: LogRecords,
) -> None:
    before_the_end: list[int] = []

    async def lingers(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)
        before_the_end.append(len(log.records))

    await request(logging_app(lingers))
    async with websocket(logging_app(lingers)):
        pass

    assert before_the_end == [1, 2]
    assert len(log.records) == 2


async def test_the_log_leaves_the_request_id_to_the_filter(log: LogRecords) -> None:
    await request(RequestIDMiddleware(logging_app()), headers={"x-request-id": "abc"})
    assert "request_id" not in line(log).__dict__

    log.records.clear()
    log.addFilter(RequestIDFilter(length=2))
    await request(RequestIDMiddleware(logging_app()), headers={"x-request-id": "abc"})
    assert line(log).__dict__["request_id"] == "ab"


async def test_the_log_works_with_a_record_factory_that_sets_the_request_id(
    log: LogRecords,
) -> None:
    factory = logging.getLogRecordFactory()

    def with_id(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = factory(*args, **kwargs)
        record.request_id = "from the factory"
        return record

    logging.setLogRecordFactory(with_id)
    try:
        await request(logging_app())
    finally:
        logging.setLogRecordFactory(factory)

    assert line(log).__dict__["request_id"] == "from the factory"


async def test_the_log_skips_chosen_paths(log: LogRecords) -> None:
    app = logging_app(skip_paths=["/livez", "/readyz", "/static/*", "/app.*"])

    for path in ("/livez", "/readyz", "/static/", "/static/css/site.css", "/app.js"):
        await request(app, "GET", path)
    for path in ("/livez/", "/other", "/static", "/a/static/", "/*"):
        await request(app, "GET", path)

    assert [record.__dict__["path"] for record in log.records] == [
        *("/livez/", "/other", "/static", "/a/static/", "/*"),
    ]


async def test_the_log_can_skip_all_paths(log: LogRecords) -> None:
    await request(logging_app(skip_paths=["/*"]), "GET", "/anything")

    assert log.records == []


async def test_the_log_skips_chosen_paths_of_websockets_too(log: LogRecords) -> None:
    async with websocket(logging_app(skip_paths=["/ws/*"]), "/ws/live/"):
        pass

    assert log.records == []


@pytest.mark.parametrize(
    ("scope", "skipped"),
    [
        pytest.param({"path": "/svc/metrics"}, True, id="path with the root, as on uvicorn"),
        pytest.param({"path": "/metrics"}, True, id="path without the root"),
        pytest.param({"path": "/svc/metrics/"}, False, id="another path below the root"),
        pytest.param({"path": "/svc/svc/metrics"}, False, id="root twice"),
        pytest.param({"path": "/svc/static/a.css"}, True, id="path that begins like a pattern"),
        pytest.param({"path": "/svcstatic/a.css"}, False, id="root within a segment"),
    ],
)
async def test_skipped_paths_are_relative_to_the_root_path(
    scope: Mapping[str, Any], skipped: bool, log: LogRecords
) -> None:
    app = logging_app(skip_paths=["/metrics", "/static/*"])

    await request(app, scope={"root_path": "/svc", **scope})

    assert (log.records == []) == skipped


async def test_the_log_can_use_another_logger(log: LogRecords) -> None:
    with recorded_from("mine") as mine:
        await request(logging_app(logger="mine"))

    assert ([record.name for record in mine.records], log.records) == (["mine"], [])


def test_the_log_does_no_work_for_a_logger_that_is_off(log: LogRecords) -> None:
    logging.getLogger(LOGGER).setLevel(logging.WARNING)
    # The scope has no path, so any attempt to build a line would fail.
    record = RequestTiming({"type": "http"}, float, 0.0)

    AccessLog().responded(record)

    assert log.records == []


async def test_a_websocket_has_a_line_of_its_own(log: LogRecords) -> None:
    app = RequestIDMiddleware(logging_app(echo))

    async with websocket(app, "/ws/a%0ab/", headers={"x-request-id": "abc"}):
        pass

    record = line(log)
    assert record.getMessage() == (
        "WEBSOCKET /ws/a%0Ab/ close_code=1000 accepted_ms=1.5 duration_ms=3.0 outcome=ok"
        " client=127.0.0.1 request_id=abc route=unmatched"
    )
    assert (record.__dict__["close_code"], record.__dict__["accepted_ms"]) == (1000, 1.5)
    assert "status" not in record.__dict__


async def test_the_line_of_a_refused_websocket_has_a_status(log: LogRecords) -> None:
    async def refuses(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 4001})

    with pytest.raises(HandshakeRefused):
        async with websocket(logging_app(refuses), "/ws/"):
            pass

    record = line(log)
    assert record.getMessage() == (
        "WEBSOCKET /ws/ status=403 close_code=4001 accepted_ms=- duration_ms=1.5 outcome=refused"
        " client=127.0.0.1 request_id=- route=unmatched"
    )
    assert (record.__dict__["status"], record.__dict__["outcome"]) == (403, "refused")


def test_the_log_shows_its_options() -> None:
    assert repr(AccessLog(skip_paths=["/readyz", "/livez"])) == (
        "AccessLog(logger='asgi_middleware.access', skip_paths=['/livez', '/readyz'])"
    )
