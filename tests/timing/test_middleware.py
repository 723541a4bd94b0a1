import asyncio
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import count
from operator import attrgetter
from typing import Any

import pytest

from asgi_middleware import (
    Phase,
    RequestIDMiddleware,
    RequestTiming,
    TimingMiddleware,
    current_timing,
    measure,
)
from asgi_middleware._messages import is_last
from asgi_middleware.testing import ASGIViolation, lifespan, recording, request
from asgi_middleware.timing import AccessLog
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import BODY, START, doing, hello, sending

MORE = {**BODY, "more_body": True}
OFFERED: dict[str, Any] = {
    "http.response.trailers": {},
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
}


async def measured(app: ASGIApp, **options: Any) -> RequestTiming:
    """Return the record of one request, on a clock that advances by a second at each reading."""
    records: list[Any] = []
    ticks: Iterator[int] = count()
    middleware = TimingMiddleware(app, observers=[records.append], clock=lambda: next(ticks))
    options = {"scope": {"extensions": OFFERED}, "raise_app_exceptions": False, **options}
    await request(middleware, **options)
    [record] = records
    assert isinstance(record, RequestTiming)
    return record


async def nothing() -> Any: ...


async def taken(message: Any) -> None:
    """Accept whatever an app sends, even what ASGI does not allow."""


async def test_a_record_has_the_time_to_the_start_and_to_the_end() -> None:
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
        pytest.param(
            [
                {**START, "trailers": True},
                {"type": "http.response.pathsend", "path": "/a"},
                {"type": "http.response.trailers", "headers": []},
            ],
            id="trailers after pathsend",
        ),
        pytest.param(
            [
                {**START, "trailers": True},
                {"type": "http.response.zerocopysend", "file": 1},
                {"type": "http.response.trailers", "headers": []},
            ],
            id="trailers after zerocopysend",
        ),
    ],
)
async def test_the_last_message_of_a_response_ends_the_duration(messages: list[Any]) -> None:
    ended: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
            ended.append(scope["state"]["timing"].duration is not None)

    record = await measured(app)

    assert ended == [False] * (len(messages) - 1) + [True]
    assert record.outcome == "ok"


@pytest.mark.parametrize("trailers", [True, False])
@pytest.mark.parametrize(
    "more", [{}, {"more_body": True}, {"more_body": False}, {"more_trailers": True}]
)
@pytest.mark.parametrize("kind", ["body", "pathsend", "zerocopysend", "trailers", "push", "debug"])
async def test_timing_and_the_other_layers_agree_on_the_last_message(
    kind: str, more: Mapping[str, bool], trailers: bool
) -> None:
    message = {"type": f"http.response.{kind}", **more}
    records: list[Any] = []
    app = sending({**START, "trailers": trailers}, message)

    middleware = TimingMiddleware(app, observers=[records.append])
    await middleware({"type": "http", "method": "GET", "path": "/"}, nothing, taken)

    assert (records[0].outcome == "ok") == is_last(message, trailers=trailers)


async def test_the_duration_includes_sending_the_last_message() -> None:
    log: list[str] = []

    def clock() -> float:
        log.append("reading")
        return 0

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def slow(message: Any) -> None:
            await send(message)
            log.append(message["type"])

        await TimingMiddleware(hello, clock=clock)(scope, receive, slow)

    await request(app)

    assert log == [
        *("reading", "reading", "http.response.start"),
        *("http.response.body", "reading"),
    ]


async def test_the_duration_excludes_what_the_app_does_afterwards() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)
        with measure("afterwards"):
            pass

    assert (await measured(app)).duration == 2


def file(kind: str, length: str | None, *parts: Any) -> list[Any]:
    """Return the messages of a response with a file that the server sends itself."""
    headers = [] if length is None else [(b"Content-Length", length.encode())]
    message = {"type": f"http.response.{kind}", "path": "/a", "file": 1}
    return [{**START, "headers": headers}, *({**message, **part} for part in parts or ({},))]


def status(number: int) -> dict[str, Any]:
    return {**START, "status": number}


@pytest.mark.parametrize(
    ("method", "messages", "bytes_sent"),
    [
        pytest.param("GET", [START, MORE, BODY], 10, id="parts"),
        pytest.param("GET", [START, {"type": "http.response.body"}], 0, id="empty"),
        pytest.param("HEAD", [START, MORE, BODY], 0, id="HEAD"),
        pytest.param("HEAD", file("pathsend", "9000"), 0, id="HEAD of a file"),
        pytest.param("GET", [status(204), BODY], 0, id="204"),
        pytest.param("GET", [status(304), BODY], 0, id="304"),
        pytest.param("GET", [status(103), BODY], 0, id="103"),
        pytest.param("GET", [status(205), BODY], 5, id="205"),
        pytest.param("GET", [status(404), BODY], 5, id="404"),
        pytest.param("GET", file("pathsend", "9000"), 9000, id="pathsend"),
        pytest.param("GET", file("pathsend", None), 0, id="pathsend of unknown length"),
        pytest.param("GET", file("pathsend", "many"), 0, id="pathsend with an invalid length"),
        pytest.param("GET", file("zerocopysend", "9000"), 9000, id="zerocopysend"),
        pytest.param(
            "GET",
            [*file("zerocopysend", "9000", {"more_body": True}), MORE, BODY],
            9000,
            id="zerocopysend and parts",
        ),
        pytest.param(
            "GET",
            [
                {**START, "trailers": True},
                BODY,
                {"type": "http.response.trailers", "headers": [(b"a", b"b")]},
            ],
            5,
            id="trailers",
        ),
    ],
)
async def test_a_record_counts_the_body_bytes_that_a_client_gets(
    method: str, messages: list[Any], bytes_sent: int
) -> None:
    records: list[Any] = []
    app = TimingMiddleware(sending(*messages), observers=[records.append])

    await app({"type": "http", "method": method, "path": "/"}, nothing, taken)

    [record] = records
    assert (record.outcome, record.bytes_sent) == ("ok", bytes_sent)


async def test_a_file_that_was_not_sent_completely_is_not_counted() -> None:
    records: list[Any] = []
    messages = [*file("zerocopysend", "9000", {"more_body": True}), MORE]
    app = TimingMiddleware(sending(*messages), observers=[records.append])

    await app({"type": "http", "method": "GET", "path": "/"}, nothing, taken)

    [record] = records
    assert (record.outcome, record.bytes_sent) == ("disconnect", 5)


async def test_a_second_start_changes_nothing_in_the_record() -> None:
    # A server refuses the second start, so the client has the first one.
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for start in (START, status(500)):
            with suppress(ASGIViolation):
                await send(start)
        await send(BODY)

    records: list[Any] = []
    with pytest.raises(ASGIViolation):
        await request(TimingMiddleware(app, observers=[records.append]))

    [record] = records
    assert (record.outcome, record.status) == ("ok", 200)


async def test_the_outcome_is_known_once_the_response_is_complete() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        record = scope["state"]["timing"]
        seen.append((record.outcome, record.exception))
        await hello(scope, receive, send)
        seen.append((record.outcome, record.exception))
        raise KeyError("mine")

    record = await measured(app)

    assert seen == [(None, None), ("ok", None)]
    assert (record.outcome, type(record.exception)) == ("ok", KeyError)


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
            gives_up,
            {"cancel_at": 1},
            "cancelled",
            None,
            asyncio.CancelledError,
            id="cancelled before the start",
        ),
        pytest.param(gives_up, {"disconnect_at": 1}, "disconnect", None, None, id="client left"),
        pytest.param(
            gives_up_between,
            {"disconnect_at": 2},
            "disconnect",
            200,
            None,
            id="client left during the response",
        ),
    ],
)
async def test_a_record_has_the_outcome_of_its_request(
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


async def test_the_app_and_the_observers_share_one_record() -> None:
    seen: list[object] = []

    def look(scope: Scope) -> None:
        seen.extend((scope["state"]["timing"], current_timing()))

    record = await measured(doing(look))

    assert seen == [record, record]


async def test_server_timing_is_off_by_default() -> None:
    assert (await request(TimingMiddleware(hello))).getall(b"server-timing") == []


async def test_server_timing_shows_phases() -> None:
    def view(scope: Scope) -> None:
        with measure("page", "the list"):
            pass

    ticks: Iterator[int] = count()
    app = TimingMiddleware(doing(view), server_timing=True, clock=lambda: next(ticks))

    response = await request(app)

    assert response.get(b"server-timing") == b'app;dur=3000.0, page;dur=1000.0;desc="the list"'


async def test_the_apps_own_server_timing_comes_first() -> None:
    start = {**START, "headers": [(b"Server-Timing", b"cache;desc=hit")]}
    app = TimingMiddleware(recording(sending(start, BODY)), server_timing=True, clock=lambda: 0)

    response = await request(app)

    assert response.getall(b"server-timing") == [b"cache;desc=hit", b"app;dur=0.0"]


@pytest.mark.parametrize(
    ("queries", "described"),
    [
        pytest.param(1, b'"1 query"', id="one"),
        pytest.param(3, b'"3 queries"', id="several"),
    ],
)
async def test_server_timing_shows_the_time_in_the_database(queries: int, described: bytes) -> None:
    def view(scope: Scope) -> None:
        scope["state"]["timing"].database_queries = queries
        scope["state"]["timing"].database_time = 0.0125

    app = TimingMiddleware(doing(view), server_timing=True, clock=lambda: 0)

    response = await request(app)

    assert response.get(b"server-timing") == b"app;dur=0.0, db;dur=12.5;desc=" + described


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param({"ttfb_name": "total"}, b"total;dur=12.3", id="another name"),
        pytest.param({"ttfb_name": "a 100%"}, b"a_100%;dur=12.3", id="a name that is not a token"),
        pytest.param({"precision": 0}, b"app;dur=12", id="no decimals"),
        pytest.param({"precision": 3}, b"app;dur=12.346", id="three decimals"),
    ],
)
async def test_the_entry_for_the_first_byte_has_the_chosen_name_and_precision(
    options: Mapping[str, Any], expected: bytes
) -> None:
    ticks = iter([0, 0.0123456, 1])
    app = TimingMiddleware(hello, server_timing=True, clock=lambda: next(ticks), **options)

    assert (await request(app)).get(b"server-timing") == expected


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        pytest.param([5, 3, 0], b"app;dur=0.0", id="goes backwards"),
        pytest.param([0, math.nan, 0], b"app", id="not a number"),
        pytest.param([0, math.inf, 0], b"app", id="infinite"),
    ],
)
async def test_a_broken_clock_does_not_break_server_timing(
    readings: list[float], expected: bytes
) -> None:
    ticks = iter(readings)
    app = TimingMiddleware(hello, server_timing=True, clock=lambda: next(ticks))

    assert (await request(app)).get(b"server-timing") == expected


async def test_server_timing_shows_at_most_2_kib_of_ten_thousand_phases() -> None:
    def view(scope: Scope) -> None:
        for number in range(10_000):
            with measure(f"phase-{number}"):
                pass

    response = await request(TimingMiddleware(doing(view), server_timing=True))

    [field] = response.getall(b"server-timing")
    assert 2000 < len(field) <= 2048
    kept = field.count(b"phase-")
    assert field.endswith(b', more;desc="%d left out"' % (10_000 - kept))


@pytest.mark.parametrize("exposed", [True, False])
async def test_a_function_of_the_record_decides_about_server_timing(exposed: bool) -> None:
    def view(scope: Scope) -> None:
        record = current_timing()
        assert record is not None
        record.expose = exposed

    response = await request(TimingMiddleware(doing(view), server_timing=attrgetter("expose")))

    assert (b"server-timing" in dict(response.headers)) == exposed


async def test_a_server_timing_function_that_raises_costs_only_the_header(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = TimingMiddleware(hello, server_timing=lambda record: bool(1 / 0))

    response = await request(app)

    assert (response.status, response.getall(b"server-timing")) == (200, [])
    assert len(caplog.records) == 1


@pytest.mark.parametrize("server_timing", [True, False])
async def test_the_response_names_the_origins_that_may_read_the_timings(
    server_timing: bool,
) -> None:
    allowed = ["https://a.example", "https://b.example"]
    app = TimingMiddleware(hello, timing_allow_origin=allowed, server_timing=server_timing)

    response = await request(app)

    assert response.get(b"timing-allow-origin") == b"https://a.example, https://b.example"


@pytest.mark.parametrize("allowed", [["*"], ["null"], ["https://a.example", "null"]])
async def test_timing_allow_origin_accepts_a_star_and_null(allowed: list[str]) -> None:
    response = await request(TimingMiddleware(hello, timing_allow_origin=allowed))

    assert response.get(b"timing-allow-origin") == ", ".join(allowed).encode()


async def test_no_origin_may_read_the_timings_by_default() -> None:
    response = await request(TimingMiddleware(hello, server_timing=True))

    assert response.getall(b"timing-allow-origin") == []


async def test_only_the_last_message_of_a_response_costs_a_coroutine() -> None:
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


async def test_a_lifespan_has_no_record() -> None:
    app = recording(hello)

    async with lifespan(TimingMiddleware(app)):
        pass

    assert "timing" not in app.calls[0].scope["state"]


async def test_the_record_is_restored_after_an_app_inside_the_app() -> None:
    seen: list[object] = []

    async def outer(scope: Scope, receive: Receive, send: Send) -> None:
        mine = current_timing()
        await TimingMiddleware(hello)(scope, receive, send)
        seen.extend((mine, current_timing()))

    await request(TimingMiddleware(outer))

    assert seen[0] is seen[1]


async def test_a_record_inside_the_request_id_layer_has_its_id() -> None:
    records: list[Any] = []
    app = RequestIDMiddleware(TimingMiddleware(hello, observers=[records.append]))

    await request(app, headers={"x-request-id": "abc"})

    assert [record.request_id for record in records] == ["abc"]


async def test_a_record_without_the_request_id_layer_has_no_id() -> None:
    assert (await measured(hello)).request_id is None


async def test_the_chosen_clock_times_everything() -> None:
    def view(scope: Scope) -> None:
        with measure("first"):
            pass

    # This clock stands still, so a reading of any other clock would show.
    records: list[Any] = []
    await request(TimingMiddleware(doing(view), observers=[records.append], clock=lambda: 7))

    [record] = records
    assert (record.started, record.ttfb, record.duration) == (7, 0, 0)
    assert record.phases == [Phase("first", started=7, duration=0)]


def test_the_middleware_shows_its_options() -> None:
    app = TimingMiddleware(hello, observers=[AccessLog()], slow_threshold=5)

    assert repr(app) == (
        "TimingMiddleware(observers=[AccessLog(logger='asgi_middleware.access', skip_paths=[])],"
        " server_timing=False, timing_allow_origin=(), ttfb_name='app', precision=1,"
        " slow_threshold=5, clock=perf_counter)"
    )
