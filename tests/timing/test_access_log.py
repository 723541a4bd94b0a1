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
    ConfigurationError,
    RequestIDFilter,
    RequestIDMiddleware,
    TimingMiddleware,
)
from asgi_middleware.testing import request, websocket
from asgi_middleware.timing import RequestTiming
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import START, answering, doing, echo, hello

LOGGER = "asgi_middleware.access"
FIELDS = (
    *("method", "path", "status", "ttfb_ms", "duration_ms"),
    *("bytes_sent", "outcome", "client", "route"),
)


class Written(logging.Handler):
    """Keeps the lines of the log, as no other handler and its filters have seen them."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def written() -> Iterator[Written]:
    with writing(LOGGER) as handler:
        yield handler


@contextmanager
def writing(name: str) -> Generator[Written]:
    logger, handler = logging.getLogger(name), Written()
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
    """Return *app* with a log, on a clock that goes on by 1.5 ms at each look."""
    ticks: Iterator[float] = count(0, 0.0015)
    return TimingMiddleware(app, observers=[AccessLog(**options)], clock=lambda: next(ticks))


def line(written: Written) -> logging.LogRecord:
    [record] = written.records
    return record


async def gives_up(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


async def gives_up_between(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await receive()


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("mine")


async def test_one_line_as_text(written: Written) -> None:
    def view(scope: Scope) -> None:
        scope["state"]["timing"].route = "notes/<int:pk>/"

    await request(
        RequestIDMiddleware(logging_app(doing(view))),
        "POST",
        "/notes/7/?token=secret",
        headers={"x-request-id": "abc"},
    )

    assert line(written).levelno == logging.INFO
    assert line(written).getMessage() == (
        "POST /notes/7/ 200 ttfb_ms=1.5 duration_ms=3.0 bytes_sent=5 outcome=ok"
        " client=127.0.0.1 request_id=abc route=notes/<int:pk>/"
    )


async def test_one_line_as_json(written: Written) -> None:
    await request(logging_app(answering(status=404)), "GET", "/missing/")

    record = line(written)
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
            gives_up_between, {"disconnect_at": 2}, " 200 ttfb_ms=1.5 ", 200, id="left later"
        ),
        pytest.param(gives_up, {"cancel_at": 1}, " - ttfb_ms=- ", None, id="cancelled"),
    ],
)
async def test_the_status_of_what_was_not_completed(
    app: ASGIApp,
    options: Mapping[str, Any],
    text: str,
    status: int | None,
    written: Written,
) -> None:
    await request(logging_app(app), raise_app_exceptions=False, **options)

    assert text in line(written).getMessage()
    assert line(written).__dict__["status"] == status


@pytest.mark.parametrize(
    ("scope", "field", "shown"),
    [
        pytest.param({"path": "/a\nERROR"}, "path", "/a%0AERROR", id="line break"),
        pytest.param({"path": "/a b\x1b[31m"}, "path", "/a%20b%1B%5B31m", id="blank, escape"),
        pytest.param({"path": "/50%25"}, "path", "/50%2525", id="percent sign"),
        pytest.param({"path": "/caf\xe9"}, "path", "/caf%C3%A9", id="not ASCII"),
        pytest.param({"path": "/\udcff"}, "path", "/%3F", id="no character"),
        pytest.param({"path": "/a@b:c;d=e,f"}, "path", "/a@b:c;d=e,f", id="allowed as it is"),
        pytest.param({"method": "GET\nX"}, "method", "GET%0AX", id="method"),
        pytest.param({"method": "BREW"}, "method", "BREW", id="unknown method"),
        pytest.param({"client": ("::1", 1)}, "client", "::1", id="IPv6"),
        pytest.param({"client": ("a\nb", 0)}, "client", "a%0Ab", id="forged address"),
        pytest.param({"client": None}, "client", None, id="no address"),
    ],
)
async def test_a_client_can_forge_no_line(
    scope: Mapping[str, Any],
    field: str,
    shown: str | None,
    written: Written,
) -> None:
    await request(logging_app(), scope=scope)

    assert line(written).__dict__[field] == shown
    assert (shown or "client=- ") in line(written).getMessage()


@given(path=st.text(), method=st.text(min_size=1), client=st.text())
def test_whatever_a_client_sends_it_is_one_line_of_printable_ascii(
    path: str, method: str, client: str
) -> None:
    record = RequestTiming(
        {"type": "http", "path": path, "method": method, "client": (client, 1)}, float, 0.0
    )
    record.ended(None)

    with writing(LOGGER) as written:
        AccessLog().finished(record)

    text = line(written).getMessage()
    assert text.isascii()
    assert text.isprintable()
    assert len(text.split(" ")) == 10


async def test_the_request_id_is_left_to_the_filter(written: Written) -> None:
    await request(RequestIDMiddleware(logging_app()), headers={"x-request-id": "abc"})
    assert "request_id" not in line(written).__dict__

    written.records.clear()
    written.addFilter(RequestIDFilter(length=2))
    await request(RequestIDMiddleware(logging_app()), headers={"x-request-id": "abc"})
    assert line(written).__dict__["request_id"] == "ab"


async def test_goes_with_a_record_factory_that_sets_the_request_id(
    written: Written,
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

    assert line(written).__dict__["request_id"] == "from the factory"


async def test_skips_chosen_paths(written: Written) -> None:
    app = logging_app(skip_paths=["/livez", "/readyz"])

    for path in ("/livez", "/readyz", "/livez/", "/other"):
        await request(app, "GET", path)

    assert [record.__dict__["path"] for record in written.records] == ["/livez/", "/other"]


async def test_another_logger(written: Written) -> None:
    with writing("mine") as mine:
        await request(logging_app(logger="mine"))

    assert ([record.name for record in mine.records], written.records) == (["mine"], [])


def test_does_no_work_for_a_logger_that_is_off(written: Written) -> None:
    logging.getLogger(LOGGER).setLevel(logging.WARNING)
    # It would fail on a scope without a path.
    record = RequestTiming({"type": "http"}, float, 0.0)

    AccessLog().finished(record)

    assert written.records == []


async def test_a_websocket_has_a_line_of_its_own(written: Written) -> None:
    app = RequestIDMiddleware(logging_app(echo))

    async with websocket(app, "/ws/a%0ab/", headers={"x-request-id": "abc"}):
        pass

    record = line(written)
    assert record.getMessage() == (
        "WEBSOCKET /ws/a%0Ab/ close_code=1000 accepted_ms=1.5 duration_ms=3.0 outcome=ok"
        " client=127.0.0.1 request_id=abc route=unmatched"
    )
    assert (record.__dict__["close_code"], record.__dict__["accepted_ms"]) == (1000, 1.5)


@pytest.mark.parametrize(
    ("paths", "problem"),
    [
        ("/livez", "AccessLog: skip_paths: '/livez' is one string; write ['/livez']"),
        (["livez"], "AccessLog: skip_paths: 'livez' does not start with a slash; write '/livez'"),
    ],
)
def test_refuses_bad_options(paths: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        AccessLog(skip_paths=paths)

    assert str(refused.value) == problem
