import asyncio
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

from asgi_middleware import RequestIDFilter, RequestIDMiddleware, TimingMiddleware
from asgi_middleware.testing import recording, request, stream, websocket
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import START, doing, hello

LOGGER = "asgi_middleware.timing.slow"
THRESHOLD = 0.02
# Long enough that a request ends much earlier, even on a busy machine.
GENEROUS = 0.5


@pytest.fixture
def warned() -> Iterator[asyncio.Event]:
    """Yield an event that is set once a line is logged."""
    event = asyncio.Event()
    handler = logging.Handler()
    handler.emit = lambda record: event.set()  # type: ignore[method-assign]
    logging.getLogger(LOGGER).addHandler(handler)
    yield event
    logging.getLogger(LOGGER).removeHandler(handler)


async def passed(seconds: float) -> None:
    """Wait until every timer that is due by then has run. A loop runs its timers in order."""
    await asyncio.sleep(seconds)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


class SlowApp:
    """An app that responds once it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.released.wait()
        await hello(scope, receive, send)


async def test_a_slow_request_is_logged_while_it_runs_and_at_its_end(
    caplog: pytest.LogCaptureFixture, warned: asyncio.Event
) -> None:
    app = SlowApp()

    async with stream(TimingMiddleware(app, slow_threshold=THRESHOLD), "GET", "/a%0aERROR") as call:
        await asyncio.wait_for(warned.wait(), 10)
        assert lines(caplog) == ["slow request: GET /a%0AERROR is still running after 0.02 s"]
        app.released.set()
        await call.finish()

    first, second = caplog.records
    assert (first.levelno, second.levelno) == (logging.WARNING, logging.WARNING)
    assert re.fullmatch(
        r"slow request: GET /a%0AERROR took \d+\.\d{3} s, outcome ok, route unmatched",
        second.getMessage(),
    )


async def test_the_line_of_a_running_request_has_its_request_id(
    caplog: pytest.LogCaptureFixture, warned: asyncio.Event
) -> None:
    app = SlowApp()
    middleware = RequestIDMiddleware(TimingMiddleware(app, slow_threshold=THRESHOLD))

    with caplog.filtering(RequestIDFilter()):
        async with stream(middleware, headers={"x-request-id": "abc"}):
            await asyncio.wait_for(warned.wait(), 10)
            app.released.set()

    assert [record.__dict__["request_id"] for record in caplog.records] == ["abc", "abc"]


async def test_a_fast_request_is_not_logged_and_leaves_no_timer(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    timers: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    call_later = loop.call_later

    def noted(delay: float, callback: Any, *args: Any) -> asyncio.TimerHandle:
        timer = call_later(delay, callback, *args)
        if delay == 9876:
            timers.append(timer)
        return timer

    monkeypatch.setattr(loop, "call_later", noted)
    await request(TimingMiddleware(hello, slow_threshold=9876))

    assert [timer.cancelled() for timer in timers] == [True]
    assert lines(caplog) == []


async def test_a_request_that_raises_leaves_no_timer(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await request(TimingMiddleware(fails, slow_threshold=GENEROUS))
    await passed(2 * GENEROUS)

    assert lines(caplog) == []


async def test_an_app_that_still_works_after_its_response_is_not_slow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def lingers(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)
        await passed(2 * GENEROUS)

    # The clock stands still, so the response takes no time.
    await request(TimingMiddleware(lingers, slow_threshold=GENEROUS, clock=lambda: 0))

    assert lines(caplog) == []


async def test_a_slow_response_is_logged_while_the_app_still_works(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ticks = iter([0, 1, 8])
    before_the_end: list[list[str]] = []

    async def lingers(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)
        before_the_end.append(lines(caplog))

    await request(TimingMiddleware(lingers, slow_threshold=5, clock=lambda: next(ticks)))

    assert before_the_end == [["slow request: GET / took 8.000 s, outcome ok, route unmatched"]]
    assert lines(caplog) == before_the_end[0]


async def test_the_lines_of_a_long_path_are_short(caplog: pytest.LogCaptureFixture) -> None:
    def view(scope: Scope) -> None:
        scope["state"]["timing"].route = "r" * 5000

    ticks = iter([0, 1, 8])
    app = TimingMiddleware(doing(view), slow_threshold=5, clock=lambda: next(ticks))
    await request(app, scope={"path": "/" + "\u20ac" * 60_000, "method": "M" * 60_000})

    [text] = lines(caplog)
    assert len(text) < 3 * 2048 + 100


async def test_the_end_of_a_slow_request_is_logged_when_the_client_has_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ticks = iter([0, 1, 8])

    async def leaves(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(START)
        await receive()

    app = TimingMiddleware(recording(leaves), slow_threshold=5, clock=lambda: next(ticks))
    await request(app, disconnect_at=3)

    assert lines(caplog) == [
        "slow request: GET / took 8.000 s, outcome disconnect, route unmatched"
    ]


async def test_a_websocket_is_never_slow(caplog: pytest.LogCaptureFixture) -> None:
    async with websocket(TimingMiddleware(hello, slow_threshold=GENEROUS)):
        await passed(2 * GENEROUS)

    # asyncio has logged no timer that failed either.
    assert caplog.records == []
