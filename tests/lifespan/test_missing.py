"""Requests that come before startup is complete, or on a server that signals no startup."""

import asyncio
import gc
import logging
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_middleware import HealthMiddleware, LifespanMiddleware, Readiness, RequestIDMiddleware
from asgi_middleware.lifespan import cycle
from asgi_middleware.request_id import get_request_id
from asgi_middleware.testing import HandshakeRefused, lifespan, recording, request, websocket
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import hello

from .server import COMPLETE, PATIENCE, Server, context, running, start_failed, until

State = dict[str, Any]


async def knows_no_lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise ValueError(scope["type"])
    await hello(scope, receive, send)


# --- "start" ---


async def test_the_first_request_runs_startup_once_and_the_others_wait() -> None:
    log: list[str] = []
    go_on = asyncio.Event()
    app = recording(knows_no_lifespan)
    contexts = [context("a", log, enter=go_on.wait, yields={"a": 1})]
    wrapped = LifespanMiddleware(app, lifespan=contexts)
    requests = [asyncio.ensure_future(request(wrapped)) for _ in range(3)]
    await until(lambda: log)
    assert [call.scope["type"] for call in app.calls] == []

    go_on.set()
    responses = await asyncio.gather(*requests)

    assert log == ["+a"]
    assert [response.status for response in responses] == [200] * 3
    assert all(call.scope["state"]["a"] == 1 for call in app.calls[1:])


async def test_a_websocket_runs_startup_too() -> None:
    log: list[str] = []
    app = LifespanMiddleware(knows_no_lifespan, lifespan=[context("a", log)])

    async with websocket(app) as socket:
        await socket.send("hello")
        assert await socket.receive() == "hello"

    assert log == ["+a"]


async def test_startup_goes_on_when_the_first_client_leaves() -> None:
    log: list[str] = []
    go_on = asyncio.Event()
    app = LifespanMiddleware(knows_no_lifespan, lifespan=[context("a", log, enter=go_on.wait)])
    first = asyncio.ensure_future(request(app))
    await until(lambda: log)
    second = asyncio.ensure_future(request(app))

    first.cancel()
    await asyncio.wait({first})
    go_on.set()

    assert (await second).status == 200
    assert log == ["+a"]


async def test_a_context_sees_nothing_of_the_first_request() -> None:
    seen: list[object] = []

    @asynccontextmanager
    async def looking(state: State) -> AsyncGenerator[None]:
        seen.append(get_request_id())
        yield

    app = RequestIDMiddleware(LifespanMiddleware(knows_no_lifespan, lifespan=[looking]))
    await request(app)

    assert seen == [None]


def test_the_end_of_the_loop_closes_the_contexts_that_a_request_has_opened() -> None:
    log: list[str] = []
    app = LifespanMiddleware(knows_no_lifespan, lifespan=[context("a", log)])

    asyncio.run(request(app))

    assert log == ["+a", "-a"]


UNASKED = (
    "WARNING",
    "the server does not signal startup: contexts are opened on the first request, and nothing will"
    " close them. Use --lifespan on with uvicorn and DaphneLifespan with Daphne; if another app"
    " mounts this one, use LifespanMiddleware around that app",
)


async def status_of(app: ASGIApp) -> int:
    """Return the status of a page, through httpx, because Starlette edits the scope."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        return (await client.get("/")).status_code


def logged(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    ours = [record for record in caplog.records if record.name.startswith("asgi_middleware")]
    return [(record.levelname, record.getMessage()) for record in ours]


async def test_a_process_whose_contexts_nothing_will_close_warns_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = LifespanMiddleware(knows_no_lifespan, lifespan=[context("a")])

    for _ in range(3):
        await request(app)

    assert logged(caplog) == [UNASKED]


async def test_a_failed_startup_that_is_tried_again_warns_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cycle, "_FIRST_RETRY", 0.0)
    app = LifespanMiddleware(hello, lifespan=[context("a", enter=OSError("no database"))])

    for _ in range(3):
        await request(app)

    assert logged(caplog) == [UNASKED, *[("ERROR", "startup failed in a")] * 3]


async def test_a_stack_that_starlette_mounts_warns_that_nothing_will_close_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[str] = []
    mounted = LifespanMiddleware(knows_no_lifespan, lifespan=[context("a", log)])
    app = Starlette(routes=[Mount("/", app=mounted)])

    async with running(Server(app)):
        assert await status_of(app) == 200

    assert logged(caplog) == [UNASKED]
    assert log == ["+a"]


async def test_a_lifespan_around_the_app_that_mounts_is_the_way_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[str] = []
    app = LifespanMiddleware(
        Starlette(routes=[Mount("/", app=knows_no_lifespan)]), lifespan=[context("a", log)]
    )

    async with running(Server(app)):
        assert await status_of(app) == 200

    assert logged(caplog) == []
    assert log == ["+a", "-a"]


async def test_a_failed_startup_gives_a_503_with_retry_after(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = LifespanMiddleware(hello, lifespan=[context("a", enter=OSError("no database"))])

    response = await request(app)

    assert response.status == 503
    assert response.get(b"retry-after") == b"1"
    assert response.get(b"cache-control") == b"no-store"
    assert caplog.messages[1:] == ["startup failed in a"]


async def test_a_failed_startup_closes_a_websocket_with_1013() -> None:
    app = LifespanMiddleware(hello, lifespan=[context("a", enter=OSError("no database"))])

    with pytest.raises(HandshakeRefused) as refused:
        async with websocket(app):
            pass

    assert refused.value.code == 1013


async def test_a_failed_startup_is_tried_again_with_a_growing_delay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    errors = iter([OSError("1"), OSError("2"), OSError("3"), None])
    attempts: list[float] = []

    async def enter() -> None:
        attempts.append(now)
        if error := next(errors):
            raise error

    app = LifespanMiddleware(knows_no_lifespan, lifespan=[context("a", enter=enter)])
    answers: list[tuple[float, int | None, bytes | None]] = []
    for now in (1000.0, 1000.9, 1001.0, 1002.0, 1003.0, 1006.5, 1007.0, 1008.0):
        response = await request(app)
        answers.append((now - 1000, response.status, response.get(b"retry-after")))

    assert [attempt - 1000 for attempt in attempts] == [0, 1, 3, 7]
    assert answers == [
        (0.0, 503, b"1"),
        (0.8999999999999773, 503, b"1"),
        (1.0, 503, b"2"),
        (2.0, 503, b"1"),
        (3.0, 503, b"4"),
        (6.5, 503, b"1"),
        (7.0, 200, None),
        (8.0, 200, None),
    ]


async def test_the_delay_between_startups_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cycle, "_FIRST_RETRY", 0.001)
    monkeypatch.setattr(cycle, "_LAST_RETRY", 0.001)
    attempts: list[int] = []

    async def enter() -> None:
        attempts.append(1)
        raise OSError("no database")

    app = LifespanMiddleware(hello, lifespan=[context("a", enter=enter)])

    async with asyncio.timeout(PATIENCE):
        while len(attempts) < 15:
            await request(app)


async def test_a_readiness_probe_starts_everything_and_does_not_wait() -> None:
    log: list[str] = []
    readiness = Readiness()
    inner = LifespanMiddleware(knows_no_lifespan, lifespan=[context("a", log)], readiness=readiness)
    app = HealthMiddleware(inner, readiness=readiness)

    assert (await request(app, target="/livez")).status == 200
    assert log == []
    assert (await request(app, target="/readyz")).status == 503
    await until(lambda: readiness.ready)

    assert (await request(app, target="/readyz")).status == 200
    assert log == ["+a"]


# --- "warn" and "error" ---


async def test_warn_warns_once_and_goes_on_with_an_empty_state(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[str] = []
    app = recording(hello)
    wrapped = LifespanMiddleware(app, lifespan=[context("a", log)], when_missing="warn")

    for _ in range(2):
        assert (await request(wrapped)).status == 200

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.WARNING,
            "a request has arrived, but the server has not sent lifespan.startup;"
            " requests are served with an empty state",
        )
    ]
    assert [call.scope["state"] for call in app.calls] == [{}, {}]
    assert log == []


async def test_error_raises_for_each_request() -> None:
    app = LifespanMiddleware(hello, when_missing="error")

    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"the server has not sent lifespan\.startup"):
            await request(app)


@pytest.mark.parametrize("when_missing", ["warn", "error"])
async def test_a_readiness_probe_starts_nothing_with_warn_or_error_and_says_so(
    when_missing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    readiness = Readiness()
    inner = LifespanMiddleware(
        hello, lifespan=[context("a", log)], readiness=readiness, when_missing=when_missing
    )

    app = HealthMiddleware(inner, readiness=readiness)
    responses = [await request(app, target="/readyz") for _ in range(2)]

    assert [response.status for response in responses] == [503, 503]
    assert log == []
    assert logged(caplog) == [
        ("WARNING", "the server has not sent lifespan.startup, so /readyz stays at 503")
    ]


@pytest.mark.parametrize("when_missing", ["start", "warn", "error"])
async def test_a_server_that_sends_lifespan_starts_and_stops_everything(
    when_missing: Any, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    app = LifespanMiddleware(hello, lifespan=[context("a", log)], when_missing=when_missing)

    async with lifespan(app) as started:
        assert (await request(started)).status == 200

    assert log == ["+a", "-a"]
    assert caplog.messages == []


# --- before, during and after a lifespan that the server sends ---


async def test_a_request_that_comes_during_startup_waits() -> None:
    # With the driver for Daphne, requests are read before startup is complete.
    go_on = asyncio.Event()
    app = LifespanMiddleware(knows_no_lifespan, lifespan=[context("a", enter=go_on.wait)])
    server = Server(app)
    starting = asyncio.ensure_future(server.start())
    early = asyncio.ensure_future(request(app))
    await asyncio.sleep(0.01)
    assert not early.done()

    go_on.set()

    assert (await early).status == 200
    assert await starting == COMPLETE
    await server.stop()


@pytest.mark.parametrize("fails", [True, False], ids=["startup failed", "after shutdown"])
async def test_a_request_after_a_failed_startup_or_after_shutdown_is_refused(fails: bool) -> None:
    log: list[str] = []
    enter = OSError("no database") if fails else None
    app = LifespanMiddleware(hello, lifespan=[context("a", log, enter=enter)])
    server = Server(app)
    await server.start()
    if not fails:
        await server.stop()
    await server.end()
    before = list(log)

    response = await request(app)

    assert response.status == 503
    assert response.get(b"retry-after") == b"1"
    assert log == before
    with pytest.raises(HandshakeRefused):
        async with websocket(app):
            pass


# --- two lifespans on one event loop ---


async def test_two_lifespans_of_one_app_do_not_end_each_other() -> None:
    log: list[str] = []
    numbers = iter([1, 2])
    readiness = Readiness()
    served = recording(knows_no_lifespan)

    @asynccontextmanager
    async def number(state: State) -> AsyncGenerator[State]:
        mine = next(numbers)
        yield {"number": mine}
        log.append(f"-{mine}")

    async def number_of(server: Server, *, state: bool) -> tuple[int | None, object]:
        scope = {"state": dict(server.state or {})} if state else {}
        status = (await request(app, scope=scope)).status
        return status, served.calls[-1].scope["state"]["number"]

    app = LifespanMiddleware(served, lifespan=[number], readiness=readiness)
    first, second = Server(app, state={}), Server(app, state={})
    assert await first.start() == COMPLETE
    assert await second.start() == COMPLETE

    # A request belongs to its server's lifespan; without a state, to the newest lifespan.
    assert await number_of(first, state=True) == (200, 1)
    assert await number_of(second, state=True) == (200, 2)
    assert await number_of(second, state=False) == (200, 2)

    await second.stop()
    assert log == ["-2"]
    assert readiness.ready
    assert await number_of(first, state=True) == (200, 1)
    assert await number_of(first, state=False) == (200, 1)

    await first.stop()
    assert log == ["-2", "-1"]
    assert readiness.reason == "shutting down"
    assert (await request(app)).status == 503


async def test_a_second_lifespan_that_fails_or_waits_leaves_the_first_alone() -> None:
    readiness = Readiness()
    outcomes: list[Any] = [None, OSError("no database"), asyncio.Event().wait]

    @asynccontextmanager
    async def differs(state: State) -> AsyncGenerator[None]:
        made: Any = context("a", enter=outcomes.pop(0))(state)
        async with made:
            yield

    differs.__qualname__ = "test"
    app = LifespanMiddleware(knows_no_lifespan, lifespan=[differs], readiness=readiness)
    first, failing, waiting = Server(app), Server(app), Server(app)
    assert await first.start() == COMPLETE

    assert await failing.start() == start_failed("OSError: no database (in test)")
    assert readiness.ready
    assert (await request(app)).status == 200
    starting = asyncio.ensure_future(waiting.start())
    await until(lambda: not outcomes)
    assert readiness.ready
    assert (await request(app)).status == 200

    await waiting.cancel()
    await starting
    await first.stop()


# --- another kind of event loop ---


def test_an_event_loop_that_is_not_asyncios_fails_at_startup_with_the_way_out() -> None:
    message = (
        "asgi_middleware needs asyncio, and this server runs another event loop, such as trio's;"
        " use hypercorn --worker-class asyncio, or another server"
    )
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    # Drive the call without asyncio, as trio would.
    app = LifespanMiddleware(hello)
    with pytest.raises(RuntimeError, match="needs asyncio"):
        app({"type": "lifespan"}, receive, send).send(None)
    assert sent == [start_failed(message)]

    with pytest.raises(RuntimeError, match="needs asyncio"):
        app({"type": "http"}, receive, send).send(None)


# --- two event loops ---


def test_two_loops_at_once_have_a_cycle_each() -> None:
    both = threading.Barrier(2, timeout=30)
    log: list[str] = []
    seen: list[tuple[object, object]] = []

    @asynccontextmanager
    async def loop(state: State) -> AsyncGenerator[State]:
        yield {"loop": asyncio.get_running_loop()}
        log.append("closed")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            both.wait()
            seen.append((scope["state"]["loop"], asyncio.get_running_loop()))
        await knows_no_lifespan(scope, receive, send)

    wrapped = LifespanMiddleware(app, lifespan=[loop])

    async def live() -> None:
        server = Server(wrapped)
        await server.start()
        await request(wrapped)
        both.wait()
        await server.stop()

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(asyncio.run, live()) for _ in range(2)]:
            done.result()

    assert [in_state is its_own for in_state, its_own in seen] == [True, True]
    assert seen[0][0] is not seen[1][0]
    assert log == ["closed"] * 2


async def test_nothing_of_a_loop_that_has_ended_is_kept() -> None:
    app = LifespanMiddleware(knows_no_lifespan, lifespan=[context("a")])

    await asyncio.to_thread(lambda: asyncio.run(request(app)))

    async def live() -> None:
        server = Server(app)
        await server.start()
        await server.stop()

    await asyncio.to_thread(lambda: asyncio.run(live()))
    await until(lambda: gc.collect() >= 0 and not app._cycles)
