import asyncio
from collections.abc import Iterator, Mapping
from itertools import count
from operator import attrgetter
from typing import Any

import pytest

from asgi_middleware import (
    ConfigurationError,
    RequestTiming,
    TimingMiddleware,
    current_timing,
    measure,
)
from asgi_middleware.testing import recording, request, websocket
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import BODY, START, doing, echo, hello, sending

MORE = {**BODY, "more_body": True}
OFFERED: dict[str, Any] = {
    "http.response.trailers": {},
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
}


async def measured(app: ASGIApp, **options: Any) -> RequestTiming:
    """Return the record of one request, on a clock that goes on by a second at each look."""
    records: list[RequestTiming] = []
    ticks: Iterator[int] = count()
    middleware = TimingMiddleware(app, observers=[records.append], clock=lambda: next(ticks))
    options = {"scope": {"extensions": OFFERED}, "raise_app_exceptions": False, **options}
    await request(middleware, **options)
    [record] = records
    return record


async def test_measures_to_the_start_and_to_the_end() -> None:
    record = await measured(hello)

    assert (record.ttfb, record.duration) == (1, 2)
    assert (record.method, record.status, record.bytes_sent) == ("GET", 200, 5)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([START, MORE, MORE, BODY], id="last of several parts"),
        pytest.param([START, {"type": "http.response.pathsend", "path": "/a"}], id="pathsend"),
        pytest.param(
            [
                START,
                {"type": "http.response.zerocopysend", "file": 1, "more_body": True},
                {"type": "http.response.zerocopysend", "file": 1},
            ],
            id="zerocopysend",
        ),
        pytest.param(
            [
                {**START, "trailers": True},
                BODY,
                {"type": "http.response.trailers", "headers": [], "more_trailers": True},
                {"type": "http.response.trailers", "headers": []},
            ],
            id="trailers",
        ),
    ],
)
async def test_the_last_message_ends_the_duration(messages: list[Any]) -> None:
    # Looks at the clock: entry, start, last message. Any other would make it 3.
    record = await measured(sending(*messages))

    assert (record.duration, record.outcome) == (2, "ok")


async def test_the_duration_includes_the_sending_of_the_last_message() -> None:
    log: list[str] = []

    def clock() -> float:
        log.append("look")
        return 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def slow(message: Any) -> None:
            await send(message)
            log.append(message["type"])

        await TimingMiddleware(hello, clock=clock)(scope, receive, slow)

    await request(app)

    assert log == ["look", "look", "http.response.start", "http.response.body", "look"]


async def test_what_the_app_does_afterwards_does_not_count() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)
        with measure("afterwards"):
            pass

    assert (await measured(app)).duration == 2


async def fails_first(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("mine")


async def fails_between(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    raise KeyError("mine")


async def fails_afterwards(scope: Scope, receive: Receive, send: Send) -> None:
    await hello(scope, receive, send)
    raise KeyError("mine")


async def gives_up(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


async def gives_up_between(scope: Scope, receive: Receive, send: Send) -> None:
    await send(START)
    await receive()


@pytest.mark.parametrize(
    ("app", "options", "outcome", "status", "exception"),
    [
        pytest.param(hello, {}, "ok", 200, None, id="complete"),
        pytest.param(fails_first, {}, "error", 500, KeyError, id="raises before the start"),
        pytest.param(fails_between, {}, "error", 200, KeyError, id="raises after the start"),
        pytest.param(fails_afterwards, {}, "ok", 200, KeyError, id="raises after the end"),
        pytest.param(
            hello, {"cancel_at": 1}, "cancelled", 200, asyncio.CancelledError, id="cancelled"
        ),
        pytest.param(
            gives_up, {"cancel_at": 1}, "cancelled", None, asyncio.CancelledError, id="early"
        ),
        pytest.param(gives_up, {"disconnect_at": 1}, "disconnect", None, None, id="client left"),
        pytest.param(
            gives_up_between, {"disconnect_at": 2}, "disconnect", 200, None, id="left later"
        ),
    ],
)
async def test_outcomes(
    app: ASGIApp,
    options: dict[str, Any],
    outcome: str,
    status: int | None,
    exception: type[BaseException] | None,
) -> None:
    record = await measured(app, **options)

    assert (record.outcome, record.status) == (outcome, status)
    assert type(record.exception) is (exception or type(None))
    assert record.duration is not None


async def test_the_record_is_shared_by_reference() -> None:
    seen: list[object] = []

    def look(scope: Scope) -> None:
        seen.extend((scope["state"]["timing"], current_timing()))

    record = await measured(doing(look))

    assert seen == [record, record]


class Observer:
    def __init__(self, log: list[str], *, broken: bool = False) -> None:
        self.log = log
        self.broken = broken

    def started(self, record: RequestTiming) -> None:
        self.log.append(f"started {record.outcome}")
        if self.broken:
            raise KeyError("mine")

    def finished(self, record: RequestTiming) -> None:
        self.log.append(f"finished {record.outcome}")
        if self.broken:
            raise KeyError("mine")


async def test_an_observer_hears_of_start_and_end() -> None:
    log: list[str] = []

    await request(TimingMiddleware(hello, observers=[Observer(log)]))

    assert log == ["started None", "finished ok"]


async def test_an_observer_that_raises_is_logged_and_the_next_one_runs(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[str] = []
    observers = [Observer(log, broken=True), Observer(log)]

    response = await request(TimingMiddleware(hello, observers=observers))

    assert response.complete
    assert log == ["started None"] * 2 + ["finished ok"] * 2
    assert len(caplog.records) == 2


async def test_an_observer_hears_of_a_request_that_raised() -> None:
    log: list[str] = []

    with pytest.raises(KeyError):
        await request(TimingMiddleware(fails_first, observers=[Observer(log)]))

    assert log == ["started None", "finished error"]


async def test_no_header_unless_told_to() -> None:
    assert (await request(TimingMiddleware(hello))).getall(b"server-timing") == []


async def test_shows_phases_in_the_header() -> None:
    def view(scope: Scope) -> None:
        with measure("db", "3 queries"):
            pass

    ticks: Iterator[int] = count()
    app = TimingMiddleware(doing(view), server_timing=True, clock=lambda: next(ticks))

    response = await request(app)

    assert response.get(b"server-timing") == b'app;dur=3000.0, db;dur=1000.0;desc="3 queries"'


async def test_the_apps_own_header_comes_first() -> None:
    start = {**START, "headers": [(b"Server-Timing", b"cache;desc=hit")]}
    app = TimingMiddleware(recording(sending(start, BODY)), server_timing=True, clock=lambda: 0)

    response = await request(app)

    assert response.getall(b"server-timing") == [b"cache;desc=hit", b"app;dur=0.0"]


@pytest.mark.parametrize("exposed", [True, False])
async def test_code_that_knows_its_user_decides(exposed: bool) -> None:
    def view(scope: Scope) -> None:
        record = current_timing()
        assert record is not None
        record.expose = exposed

    response = await request(TimingMiddleware(doing(view), server_timing=attrgetter("expose")))

    assert (b"server-timing" in dict(response.headers)) == exposed


async def test_a_decision_that_raises_costs_the_header_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = TimingMiddleware(hello, server_timing=lambda record: bool(1 / 0))

    response = await request(app)

    assert (response.status, response.getall(b"server-timing")) == (200, [])
    assert len(caplog.records) == 1


async def test_a_body_message_costs_no_coroutine() -> None:
    passed: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        sent: list[object] = []

        def plain(message: Any) -> Any:
            sending = send(message)
            sent.append(sending)
            return sending

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            for message in (START, MORE, BODY):
                sending = send(message)
                passed.append(sending is sent[-1])
                await sending

        await TimingMiddleware(inner)(scope, receive, plain)

    await request(app)

    assert passed == [True, True, False]


async def test_leaves_websockets_alone() -> None:
    app = recording(echo)

    async with websocket(TimingMiddleware(app)):
        pass

    assert "state" not in app.calls[0].scope


async def test_an_app_within_an_app_gives_the_record_back() -> None:
    seen: list[object] = []

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        mine = current_timing()
        await TimingMiddleware(hello)(scope, receive, send)
        seen.extend((mine, current_timing()))

    await request(TimingMiddleware(outer))

    assert seen[0] is seen[1]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"observers": [1]}, "observers: 1 is no observer"),
        ({"ttfb_name": ""}, "ttfb_name: '' is no name"),
        ({"precision": -1}, "precision: -1 is not 0 to 9"),
    ],
)
def test_refuses_bad_options(options: Mapping[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        TimingMiddleware(hello, **options)

    assert str(refused.value).startswith(f"TimingMiddleware: {problem}")
