"""Startup and shutdown that take too long: named, cut short, and never waited for."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_middleware import LifespanMiddleware
from asgi_middleware.lifespan import cycle, timeouts
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import hello

from .server import (
    COMPLETE,
    PATIENCE,
    Server,
    Stubborn,
    context,
    forever,
    start_failed,
    stop_failed,
    until,
)

State = dict[str, Any]
SOON = 0.05

STARTING = "TimeoutError: startup took more than 0.05 s"
STOPPING = "TimeoutError: shutdown took more than 0.05 s"


def app_of(
    *contexts: Any, start: float = 30.0, stop: float = 20.0, app: ASGIApp = hello
) -> ASGIApp:
    return LifespanMiddleware(app, lifespan=contexts, startup_timeout=start, shutdown_timeout=stop)


async def test_a_startup_that_hangs_fails_and_names_the_culprit() -> None:
    log: list[str] = []
    contexts = [context("a", log), context("b", log, enter=forever), context("c", log)]
    server = Server(app_of(*contexts, start=SOON))

    assert await server.start() == start_failed(f"{STARTING} (in b)")
    assert isinstance(await server.end(), TimeoutError)
    assert log == ["+a", "+b", "-a"]


async def test_the_log_shows_where_startup_hung(caplog: pytest.LogCaptureFixture) -> None:
    await Server(app_of(context("b", enter=forever), start=SOON)).start()

    assert "in forever\n" in caplog.text


async def test_the_timeout_is_for_all_of_startup(monkeypatch: pytest.MonkeyPatch) -> None:
    passed = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed)
    monkeypatch.setattr(timeouts, "time", clock)

    async def long() -> None:
        nonlocal passed
        passed += PATIENCE * 10 - SOON

    contexts = [context("a", enter=long), context("b", enter=forever)]

    assert await Server(app_of(*contexts, start=PATIENCE * 10)).start() == start_failed(
        f"TimeoutError: startup took more than {PATIENCE * 10:g} s (in b)"
    )


async def test_a_shutdown_that_hangs_fails_and_names_the_culprit() -> None:
    log: list[str] = []
    contexts = [context("a", log), context("b", log, exit=forever), context("c", log)]
    server = Server(app_of(*contexts, stop=SOON))
    await server.start()

    assert await server.stop() == stop_failed(f"{STOPPING} (in b)")
    assert log == ["+a", "+b", "+c", "-c", "-b", "-a"]


async def test_each_remaining_exit_still_gets_a_moment() -> None:
    closed: list[str] = []

    def closing(name: str) -> Callable[[], Awaitable[None]]:
        async def close() -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            closed.append(name)

        return close

    contexts = [
        context("a", exit=closing("a")),
        context("b", exit=closing("b")),
        context("c", exit=forever),
    ]
    server = Server(app_of(*contexts, stop=SOON))
    await server.start()
    await server.stop()

    assert closed == ["b", "a"]


async def test_each_remaining_exit_gets_no_more_than_a_moment(
    caplog: pytest.LogCaptureFixture,
) -> None:
    contexts = [context("a", exit=forever), context("b", exit=forever)]
    server = Server(app_of(*contexts, stop=SOON))
    await server.start()

    assert await server.stop() == stop_failed(f"{STOPPING} (in b)")
    assert caplog.messages == ["shutdown failed in b", "shutdown failed in a"]


async def test_the_exits_after_a_failed_startup_get_the_rest_of_its_time() -> None:
    closed: list[str] = []

    async def close() -> None:
        await asyncio.sleep(0.1)  # longer than the remaining exits get after the timeout
        closed.append("a")

    contexts = [context("a", exit=close), context("b", enter=OSError("no"))]
    await Server(app_of(*contexts)).start()

    assert closed == ["a"]


# --- hooks that will not be stopped ---


async def test_an_exit_that_ignores_cancellation_is_abandoned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tasks: list[object] = []
    stubborn = Stubborn()

    @asynccontextmanager
    async def outer(state: State) -> AsyncGenerator[None]:
        yield
        tasks.append(asyncio.current_task())

    @asynccontextmanager
    async def inner(state: State) -> AsyncGenerator[None]:
        yield
        tasks.append(asyncio.current_task())
        await stubborn()

    inner.__qualname__ = "inner"
    server = Server(app_of(outer, inner, stop=SOON))
    await server.start()

    assert await server.stop() == stop_failed(f"{STOPPING} (in inner)")
    # The remaining exits run in another task while the first keeps running.
    assert len(set(tasks)) == 2
    assert stubborn.cancellations == 1
    assert "inner keeps running although it was cancelled; it is abandoned" in caplog.messages
    await stubborn.end()


async def test_a_startup_that_ignores_cancellation_is_abandoned() -> None:
    log: list[str] = []
    stubborn = Stubborn()
    contexts = [context("a", log), context("b", log, enter=stubborn)]
    server = Server(app_of(*contexts, start=SOON))

    assert await server.start() == start_failed(f"{STARTING} (in b)")
    assert log == ["+a", "+b", "-a"]
    await stubborn.end()


async def test_a_context_that_reacts_late_to_its_cancellation_is_exited() -> None:
    log: list[str] = []

    async def enter() -> None:
        try:
            await forever()
        except asyncio.CancelledError:
            log.append("opened all the same")

    server = Server(app_of(context("a", log, enter=enter), start=SOON))

    assert await server.start() == start_failed(f"{STARTING} (in a)")
    assert log == ["+a", "opened all the same", "-a"]


def test_an_abandoned_task_does_not_keep_the_event_loop() -> None:
    stubborn = [Stubborn() for _ in range(3)]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(COMPLETE)
        await stubborn[1]()

    @asynccontextmanager
    async def spawning(state: State) -> AsyncGenerator[None]:
        state["tasks"].spawn(stubborn[2])
        yield

    async def main() -> object:
        contexts = [context("a", exit=stubborn[0]), spawning]
        server = Server(app_of(*contexts, stop=SOON, app=app))
        await server.start()
        return await server.stop()

    async def end() -> None:
        for each in stubborn:
            await each.end()

    with asyncio.Runner() as runner:
        assert runner.run(main()) == stop_failed(f"{STOPPING} (in Stubborn)")
        # asyncio.run() cancels each of these, and waits for its end.
        known = asyncio.all_tasks(runner.get_loop())
        assert not known & {each.task for each in stubborn}
        runner.run(end())

    assert [each.cancellations for each in stubborn] == [1, 1, 1]


@pytest.mark.parametrize("where", ["enter", "exit"])
async def test_a_sync_context_that_is_stuck_is_abandoned(
    where: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for threads that are not stuck, on a slow machine too.
    monkeypatch.setattr(cycle, "PATIENCE", 1.0)
    log: list[str] = []
    stuck, release = threading.Event(), threading.Event()

    @contextmanager
    def sync(state: State) -> Generator[None]:
        if where == "enter":
            stuck.set()
            release.wait(PATIENCE)
        yield
        stuck.set()
        release.wait(PATIENCE)

    @contextmanager
    def outer(state: State) -> Generator[None]:
        yield
        log.append("-outer")

    sync.__qualname__ = "sync"
    try:
        if where == "enter":
            answer = await Server(app_of(outer, sync, start=1.0)).start()
            assert answer == start_failed("TimeoutError: startup took more than 1 s (in sync)")
        else:
            server = Server(app_of(outer, sync, stop=1.0))
            await server.start()
            assert await server.stop() == stop_failed(
                "TimeoutError: shutdown took more than 1 s (in sync)"
            )
        assert stuck.is_set()
        assert log == ["-outer"]
        assert "sync keeps running in its thread; it is abandoned" in caplog.messages
    finally:
        release.set()


async def test_an_exit_that_ignores_the_servers_cancellation_is_abandoned() -> None:
    log: list[str] = []
    stubborn = Stubborn()
    server = Server(app_of(context("a", log), context("b", log, exit=stubborn)))
    await server.start()
    stopping = asyncio.ensure_future(server.stop())
    await until(lambda: "-b" in log)

    assert isinstance(await server.cancel(), asyncio.CancelledError)
    assert log == ["+a", "+b", "-b", "-a"]
    await stubborn.end()
    await stopping
