import asyncio
import logging
import subprocess
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_middleware import TimingMiddleware
from asgi_middleware.testing import request, websocket
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import echo, hello


class Diary:
    """An observer that notes its calls, and raises from each of them if it is *broken*."""

    def __init__(self, *, broken: bool = False) -> None:
        self.log: list[str] = []
        self.broken = broken

    def started(self, record: Any) -> None:
        self._note(f"{type(record).__name__} started, {record.outcome}")

    def responded(self, record: Any) -> None:
        self._note(f"{type(record).__name__} responded, {record.outcome}")

    def finished(self, record: Any) -> None:
        self._note(f"{type(record).__name__} finished, {record.outcome}")

    def _note(self, line: str) -> None:
        self.log.append(line)
        if self.broken:
            raise KeyError("mine")


def noted(record: str, outcome: str) -> list[str]:
    return [
        f"{record} started, None",
        f"{record} responded, {outcome}",
        f"{record} finished, {outcome}",
    ]


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("mine")


async def waits(scope: Scope, receive: Receive, send: Send) -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize(
    ("app", "options", "outcome"),
    [
        pytest.param(hello, {}, "ok", id="complete"),
        pytest.param(fails, {}, "error", id="raises"),
        pytest.param(waits, {"timeout": 0.05}, "cancelled", id="cancelled by a timeout"),
    ],
)
async def test_an_observer_gets_one_start_one_response_and_one_end(
    app: ASGIApp, options: dict[str, Any], outcome: str
) -> None:
    diary = Diary()

    with suppress(KeyError, TimeoutError):
        await request(TimingMiddleware(app, observers=[diary]), **options)

    assert diary.log == noted("RequestTiming", outcome)


MESSAGES: dict[str, list[Any]] = {
    "http": [
        {"type": "http.response.start", "status": 200, "headers": []},
        {"type": "http.response.start", "status": 200, "trailers": True},
        {"type": "http.response.body", "body": b"part", "more_body": True},
        {"type": "http.response.body"},
        {"type": "http.response.pathsend", "path": "/a"},
        {"type": "http.response.trailers", "headers": []},
    ],
    "websocket": [
        {"type": "websocket.accept"},
        {"type": "websocket.send", "text": "hello"},
        {"type": "websocket.close"},
        {"type": "websocket.http.response.start", "status": 401},
        {"type": "websocket.http.response.body"},
        "receive",
    ],
}


@given(data=st.data(), kind=st.sampled_from(["http", "websocket"]))
def test_an_observer_gets_one_start_one_response_and_one_end_whatever_an_app_does(
    data: st.DataObject, kind: str
) -> None:
    """The app may break the rules of ASGI, and the server may raise from send() or not."""
    steps = data.draw(st.lists(st.sampled_from(MESSAGES[kind])))
    endings = [None, KeyError(), asyncio.CancelledError()]
    ending = data.draw(st.sampled_from(endings))
    left_at = data.draw(st.sampled_from([None, 1, 2, 3]))
    diary = Diary()
    sent: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for step in steps:
            await (receive() if step == "receive" else send(step))
        if ending is not None:
            raise ending

    async def receive() -> Any:
        return {"type": "websocket.disconnect", "code": 1001}

    async def send(message: Any) -> None:
        sent.append(message)
        if len(sent) == left_at:
            raise OSError

    async def call() -> None:
        scope = {"type": kind, "method": "GET", "path": "/"}
        with suppress(KeyError, OSError, asyncio.CancelledError):
            await TimingMiddleware(app, observers=[diary])(scope, receive, send)

    asyncio.run(call())

    name = "RequestTiming" if kind == "http" else "WebSocketTiming"
    outcome = diary.log[-1].rpartition(" ")[2]
    assert outcome != "None"
    assert diary.log == noted(name, outcome)


async def test_an_observer_gets_the_response_while_the_app_still_works() -> None:
    diary = Diary()
    before_the_end: list[list[str]] = []

    async def background(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)
        before_the_end.append([*diary.log])
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await request(TimingMiddleware(background, observers=[diary]))

    assert before_the_end == [noted("RequestTiming", "ok")[:2]]
    assert diary.log == noted("RequestTiming", "ok")


async def test_an_observer_gets_the_response_before_starlette_runs_a_background_task() -> None:
    diary = Diary()
    before_the_end: list[str] = []
    responses = pytest.importorskip("starlette.responses", reason="needs starlette")
    background = pytest.importorskip("starlette.background").BackgroundTask(
        lambda: before_the_end.extend(diary.log)
    )
    response = responses.PlainTextResponse("hello", background=background)

    await request(TimingMiddleware(response, observers=[diary]))

    assert before_the_end == noted("RequestTiming", "ok")[:2]


async def test_an_observer_gets_the_close_of_a_websocket_while_the_app_still_works() -> None:
    diary = Diary()
    before_the_end: list[list[str]] = []

    async def lingers(scope: Scope, receive: Receive, send: Send) -> None:
        await echo(scope, receive, send)
        before_the_end.append([*diary.log])

    async with websocket(TimingMiddleware(lingers, observers=[diary])):
        assert diary.log == ["WebSocketTiming started, None"]

    assert before_the_end == [noted("WebSocketTiming", "ok")[:2]]


async def test_an_observer_needs_no_responded_method() -> None:
    log: list[str] = []

    class Two:
        def started(self, record: Any) -> None:
            log.append("started")

        def finished(self, record: Any) -> None:
            log.append("finished")

    await request(TimingMiddleware(hello, observers=[Two()]))

    assert log == ["started", "finished"]


async def test_an_observer_gets_websockets_too() -> None:
    diary = Diary()

    async with websocket(TimingMiddleware(hello, observers=[diary])):
        pass

    assert diary.log == noted("WebSocketTiming", "ok")


async def test_a_function_as_observer_is_called_once() -> None:
    outcomes: list[str] = []

    await request(
        TimingMiddleware(hello, observers=[lambda record: outcomes.append(str(record.outcome))])
    )

    assert outcomes == ["ok"]


async def test_an_observer_that_raises_is_logged_and_the_next_one_is_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, sound = Diary(broken=True), Diary()

    response = await request(TimingMiddleware(hello, observers=[broken, sound]))

    assert response.complete
    assert sound.log == broken.log == noted("RequestTiming", "ok")
    assert [line.levelno for line in caplog.records] == [logging.ERROR] * 3


async def test_an_observer_finds_the_exception_in_the_record_at_the_end() -> None:
    seen: list[BaseException | None] = []

    def look(record: Any) -> None:
        seen.append(record.exception)

    with pytest.raises(KeyError) as raised:
        await request(TimingMiddleware(fails, observers=[look]))

    assert seen == [raised.value]


async def test_an_observer_gets_the_end_of_an_abandoned_request() -> None:
    # Like an event loop that is closed during the request.
    diary = Diary()

    async def receive() -> Any: ...
    async def send(message: Any) -> None: ...

    app = TimingMiddleware(waits, observers=[diary])
    call = app({"type": "http", "method": "GET", "path": "/"}, receive, send)
    call.send(None)
    call.close()

    assert diary.log == noted("RequestTiming", "cancelled")


def test_importing_the_observers_loads_no_metrics_library() -> None:
    code = (
        "import sys; from asgi_middleware import OpenTelemetryMetrics, PrometheusMetrics;"
        "print(sorted({'opentelemetry', 'prometheus_client'} & sys.modules.keys()))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout == "[]\n"
