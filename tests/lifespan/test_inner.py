"""The lifespan of the app inside."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from asgi_middleware import (
    HealthMiddleware,
    LifespanMiddleware,
    Readiness,
    RequestIDMiddleware,
    ThreadPool,
    ThreadPoolMiddleware,
    TimingMiddleware,
)
from asgi_middleware.testing import recording, request
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import hello

from .server import (
    COMPLETE,
    STOPPED,
    Server,
    Stubborn,
    context,
    forever,
    running,
    start_failed,
    stop_failed,
    until,
)


def starlette(
    log: list[str],
    *,
    yields: dict[str, Any] | None = None,
    fails: str = "",
) -> Starlette:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[dict[str, Any]]:
        log.append("+starlette")
        if fails == "enter":
            raise OSError("no database")
        yield yields or {}
        log.append("-starlette")
        if fails == "exit":
            raise OSError("no end")

    return Starlette(lifespan=lifespan)


async def test_an_inner_app_starts_after_our_contexts_and_stops_before_them() -> None:
    log: list[str] = []
    app = LifespanMiddleware(starlette(log), lifespan=[context("a", log)])

    async with running(Server(app)):
        log.append("serving")

    assert log == ["+a", "+starlette", "serving", "-starlette", "-a"]


async def test_an_inner_app_runs_in_a_task_of_its_own() -> None:
    tasks: list[object] = []

    @asynccontextmanager
    async def noting(_: object) -> AsyncGenerator[None]:
        tasks.append(asyncio.current_task())
        yield
        tasks.append(asyncio.current_task())

    app = LifespanMiddleware(Starlette(lifespan=noting), lifespan=[noting])
    async with running(Server(app)) as server:
        pass

    ours, theirs, theirs_again, ours_again = tasks
    assert ours is ours_again
    assert theirs is theirs_again
    assert len({ours, theirs, server.task}) == 3


async def test_the_state_of_an_inner_app_joins_ours() -> None:
    inner = starlette([], yields={"b": 2})
    state: dict[str, Any] = {}

    async with running(
        Server(LifespanMiddleware(inner, lifespan=[context("a", yields={"a": 1})]), state=state)
    ):
        assert state.keys() == {"a", "b", "tasks"}


async def test_a_state_key_of_an_inner_app_that_a_context_has_set_fails_and_names_both() -> None:
    log: list[str] = []
    app = LifespanMiddleware(
        starlette(log, yields={"a": 2}), lifespan=[context("a", log, yields={"a": 1})]
    )
    server = Server(app)

    assert await server.start() == start_failed(
        "ValueError: a and Starlette both set 'a' in the state; rename one (in Starlette)"
    )
    await server.end()
    assert log == ["+a", "+starlette", "-starlette", "-a"]


# --- startup that fails ---


async def exiting(scope: Scope, receive: Receive, send: Send) -> None:
    raise SystemExit(3)


async def saying_so(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def saying_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed"})


@pytest.mark.parametrize(
    ("app", "message", "raises"),
    [
        pytest.param(exiting, "SystemExit: 3 (in exiting)", RuntimeError, id="SystemExit"),
        pytest.param(
            saying_so, "no database (in saying_so)", RuntimeError, id="failed, with a message"
        ),
        pytest.param(
            saying_nothing,
            "RuntimeError: lifespan.startup.failed (in saying_nothing)",
            RuntimeError,
            id="failed, without a message",
        ),
        pytest.param(
            starlette([], fails="enter"),
            "OSError: no database (in Starlette)",
            OSError,
            id="Starlette",
        ),
        pytest.param(
            LifespanMiddleware(hello, lifespan=[context("b", enter=OSError("no database"))]),
            "OSError: no database (in b)",
            OSError,
            id="LifespanMiddleware",
        ),
    ],
)
async def test_our_startup_fails_when_the_startup_of_an_inner_app_fails(
    app: ASGIApp, message: str, raises: type[Exception]
) -> None:
    log: list[str] = []
    server = Server(LifespanMiddleware(app, lifespan=[context("a", log)]))

    assert await server.start() == start_failed(message)
    assert isinstance(await server.end(), raises)
    assert log == ["+a", "-a"]


# --- shutdown that fails ---


async def failing_to_stop(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(COMPLETE)
    await receive()
    await send({"type": "lifespan.shutdown.failed", "message": "no end"})


async def raising_at_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(COMPLETE)
    await receive()
    raise OSError("no end")


@pytest.mark.parametrize(
    ("app", "message"),
    [
        pytest.param(failing_to_stop, "no end (in failing_to_stop)", id="says so"),
        pytest.param(raising_at_the_end, "OSError: no end (in raising_at_the_end)", id="raises"),
        pytest.param(starlette([], fails="exit"), "OSError: no end (in Starlette)", id="Starlette"),
        pytest.param(
            LifespanMiddleware(hello, lifespan=[context("b", exit=OSError("no end"))]),
            "OSError: no end (in b)",
            id="LifespanMiddleware",
        ),
    ],
)
async def test_a_shutdown_of_an_inner_app_that_fails_is_reported_and_ours_goes_on(
    app: ASGIApp, message: str
) -> None:
    log: list[str] = []
    server = Server(LifespanMiddleware(app, lifespan=[context("a", log)]))
    await server.start()

    assert await server.stop() == stop_failed(message)
    assert log == ["+a", "-a"]


async def test_an_app_that_returns_early_is_not_asked_to_stop() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)

    server = Server(LifespanMiddleware(app))

    assert await server.start() == COMPLETE
    assert await server.stop() == STOPPED


async def test_an_app_that_does_not_return_after_its_last_message_is_not_waited_for() -> None:
    log: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            await send({"type": f"{message['type']}.complete"})

    server = Server(LifespanMiddleware(app, lifespan=[context("a", log)]))
    await server.start()

    assert await server.stop() == STOPPED
    assert log == ["+a", "-a"]


# --- time ---


@pytest.mark.parametrize(
    "stubborn", [False, True], ids=["ends when cancelled", "ignores cancellation"]
)
async def test_a_startup_of_an_inner_app_that_hangs_is_cut_short(stubborn: bool) -> None:
    log: list[str] = []
    hang = Stubborn() if stubborn else None

    async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await (hang() if hang else forever())

    hanging.__qualname__ = "hanging"
    app = LifespanMiddleware(hanging, lifespan=[context("a", log)], startup_timeout=0.05)

    assert await Server(app).start() == start_failed(
        "TimeoutError: startup took more than 0.05 s (in hanging)"
    )
    assert log == ["+a", "-a"]
    if hang:
        await hang.end()


async def test_a_shutdown_of_an_inner_app_that_hangs_is_cut_short() -> None:
    log: list[str] = []

    async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        await forever()

    hanging.__qualname__ = "hanging"
    app = LifespanMiddleware(hanging, lifespan=[context("a", log)], shutdown_timeout=0.05)
    server = Server(app)
    await server.start()

    assert await server.stop() == stop_failed(
        "TimeoutError: shutdown took more than 0.05 s (in hanging)"
    )
    assert log == ["+a", "-a"]


async def test_a_cancelled_startup_ends_the_inner_app() -> None:
    ended: list[str] = []
    begun = asyncio.Event()

    async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        begun.set()
        try:
            await forever()
        finally:
            ended.append("hanging")

    server = Server(LifespanMiddleware(hanging))
    starting = asyncio.ensure_future(server.start())
    await begun.wait()

    assert isinstance(await server.cancel(), asyncio.CancelledError)
    assert ended == ["hanging"]
    await starting


# --- while serving ---


async def test_an_inner_app_that_dies_while_serving_is_an_error_and_the_rest_still_unwinds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[str] = []
    die = asyncio.Event()
    readiness = Readiness()

    async def dying(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            return await hello(scope, receive, send)
        await receive()
        await send(COMPLETE)
        await die.wait()
        raise OSError("connection lost")

    dying.__qualname__ = "dying"
    app = LifespanMiddleware(dying, lifespan=[context("a", log)], readiness=readiness)
    server = Server(app)
    await server.start()
    assert readiness.ready

    die.set()
    await until(lambda: not readiness.ready)

    assert readiness.reason == "dying has failed"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "serving failed in dying")
    ]
    assert (await request(app)).status == 200
    assert await server.stop() == STOPPED
    assert log == ["+a", "-a"]


@pytest.mark.parametrize("asked", [True, False], ids=["by a server", "by the first request"])
def test_an_event_loop_that_ends_without_a_shutdown_is_not_an_error(
    asked: bool, caplog: pytest.LogCaptureFixture
) -> None:
    log: list[str] = []
    app = LifespanMiddleware(starlette(log), lifespan=[context("a", log)])

    async def main() -> None:
        if asked:
            await Server(app).start()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
            assert (await client.get("/")).status_code == 404

    asyncio.run(main())

    assert log == ["+a", "+starlette", "-a"]
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_an_app_whose_cleanup_fails_as_the_loop_ends_is_an_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        try:
            await receive()
        finally:
            raise OSError("no end")

    app.__qualname__ = "app"

    async def main() -> None:
        await Server(LifespanMiddleware(app)).start()

    asyncio.run(main())

    assert "OSError: no end" in caplog.text


@pytest.mark.parametrize(
    "message", [{"type": "lifespan.shutdown.failed"}, STOPPED], ids=["failed", "complete"]
)
async def test_an_app_that_stops_unasked_counts_as_failed_if_it_says_so(
    message: Any, caplog: pytest.LogCaptureFixture
) -> None:
    readiness = Readiness()

    async def stopping(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        await send(message)

    stopping.__qualname__ = "stopping"
    async with running(Server(LifespanMiddleware(stopping, readiness=readiness))):
        await asyncio.sleep(0.01)

        failed = message != STOPPED
        assert readiness.reason == ("stopping has failed" if failed else None)
        assert caplog.messages == (["serving failed in stopping"] if failed else [])


# --- which app is named ---


async def broken(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(start_failed("no database"))


@pytest.mark.parametrize(
    "wrap",
    [
        pytest.param(RequestIDMiddleware, id="RequestIDMiddleware"),
        pytest.param(TimingMiddleware, id="TimingMiddleware"),
        pytest.param(HealthMiddleware, id="HealthMiddleware"),
        pytest.param(lambda app: ThreadPoolMiddleware(app, pool=ThreadPool()), id="a thread pool"),
        pytest.param(lambda app: LifespanMiddleware(LifespanMiddleware(app)), id="two lifespans"),
        pytest.param(
            lambda app: HealthMiddleware(ThreadPoolMiddleware(app, pool=ThreadPool())), id="two"
        ),
    ],
)
async def test_a_failure_names_the_app_and_not_the_layer_around_it(
    wrap: Any, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server(LifespanMiddleware(wrap(broken)))

    assert await server.start() == start_failed("no database (in broken)")
    assert set(caplog.messages) == {"startup failed in broken"}


# --- one of ours inside one of ours ---


async def test_lifespan_middleware_nests() -> None:
    log: list[str] = []
    app = recording(hello)
    stack = LifespanMiddleware(
        LifespanMiddleware(app, lifespan=[context("b", log, yields={"b": 2})]),
        lifespan=[context("a", log, yields={"a": 1})],
    )

    async with running(Server(stack)):
        await request(stack)

    assert log == ["+a", "+b", "-b", "-a"]
    assert app.calls[-1].scope["state"].keys() == {"a", "b", "tasks"}


async def test_tasks_of_both_nested_layers_end_before_either_closes_anything() -> None:
    log: list[str] = []

    async def work() -> None:
        try:
            await forever()
        finally:
            log.append("task ended")

    @asynccontextmanager
    async def spawning(state: dict[str, Any]) -> AsyncGenerator[None]:
        state["tasks"].spawn(work, restart="always")
        yield

    stack = LifespanMiddleware(
        LifespanMiddleware(hello, lifespan=[context("b", log), spawning]),
        lifespan=[context("a", log), spawning],
    )
    async with running(Server(stack)):
        await asyncio.sleep(0)

    assert log == ["+a", "+b", "task ended", "task ended", "-b", "-a"]


async def test_an_inner_app_that_ignores_a_cancelled_startup_is_abandoned_at_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stubborn = Stubborn()
    begun = asyncio.Event()

    async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        begun.set()
        await stubborn()

    hanging.__qualname__ = "hanging"
    server = Server(LifespanMiddleware(hanging))
    starting = asyncio.ensure_future(server.start())
    await begun.wait()

    # Most of the thirty seconds for startup are left.
    assert isinstance(await server.cancel(), asyncio.CancelledError)
    assert caplog.messages == ["hanging keeps running although it was cancelled; it is abandoned"]
    assert await starting is None
    await stubborn.end()
