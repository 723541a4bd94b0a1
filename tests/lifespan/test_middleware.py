import asyncio
import threading
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from asgi_middleware import ConfigurationError, LifespanMiddleware
from asgi_middleware.lifespan.middleware import ContextFactory
from asgi_middleware.testing import LifespanFailed, lifespan, recording, request
from tests.apps import hello


def context(
    name: str,
    log: list[str],
    *,
    yields: Mapping[str, object] | None = None,
    fails_in: str | None = None,
) -> ContextFactory:
    @asynccontextmanager
    async def made(state: dict[str, Any]) -> AsyncGenerator[object]:
        log.append(f"+{name}")
        if fails_in == "enter":
            raise OSError(f"{name} does not open")
        try:
            yield yields
        finally:
            log.append(f"-{name}")
            if fails_in == "exit":
                raise OSError(f"{name} does not close")

    made.__qualname__ = name
    return made


async def test_enters_in_order_and_exits_in_reverse() -> None:
    log: list[str] = []
    app = LifespanMiddleware(hello, lifespan=[context("a", log), context("b", log)])

    async with lifespan(app):
        log.append("serving")

    assert log == ["+a", "+b", "serving", "-b", "-a"]


async def test_requests_see_the_state() -> None:
    inner = recording(hello)
    contexts = [context("a", [], yields={"a": 1}), context("b", [], yields={"b": 2})]

    async with lifespan(LifespanMiddleware(inner, lifespan=contexts)) as running:
        await request(running)

    assert inner.calls[0].scope["state"] == {"a": 1, "b": 2}


async def test_a_context_sees_the_state_of_those_before_it() -> None:
    seen: list[dict[str, Any]] = []

    @asynccontextmanager
    async def second(state: dict[str, Any]) -> AsyncGenerator[None]:
        seen.append(dict(state))
        yield

    contexts = [context("a", [], yields={"a": 1}), second]
    async with lifespan(LifespanMiddleware(hello, lifespan=contexts)):
        pass

    assert seen == [{"a": 1}]


async def test_what_is_no_mapping_stays_out_of_the_state() -> None:
    @asynccontextmanager
    async def number(state: dict[str, Any]) -> AsyncGenerator[int]:
        yield 1

    async with lifespan(LifespanMiddleware(hello, lifespan=[number])) as running:
        assert running.state == {}


async def test_sync_contexts_run_in_one_thread_that_is_not_the_loops() -> None:
    threads: list[threading.Thread] = []

    @contextmanager
    def sync(state: dict[str, Any]) -> Generator[dict[str, Any]]:
        threads.append(threading.current_thread())
        yield {"sync": True}
        threads.append(threading.current_thread())

    async with lifespan(LifespanMiddleware(hello, lifespan=[sync])) as running:
        assert running.state == {"sync": True}

    assert threads[0] is threads[1] is not threading.current_thread()


async def test_a_failing_start_up_unwinds_and_says_why() -> None:
    log: list[str] = []
    contexts = [context("a", log), context("b", log, fails_in="enter"), context("c", log)]
    app = recording(LifespanMiddleware(hello, lifespan=contexts))

    with pytest.raises(LifespanFailed, match="OSError: b does not open") as failed:
        async with lifespan(app):
            pytest.fail("it did not start")

    assert log == ["+a", "+b", "-a"]
    # Raised as well: hypercorn serves on when an app only says that it failed.
    assert isinstance(failed.value.__cause__, OSError)
    assert len(app.sent) == 1


async def test_every_exit_runs_though_one_fails() -> None:
    log: list[str] = []
    contexts = [context("a", log), context("b", log, fails_in="exit"), context("c", log)]

    with pytest.raises(LifespanFailed, match="OSError: b does not close"):
        async with lifespan(LifespanMiddleware(hello, lifespan=contexts)):
            pass

    assert log == ["+a", "+b", "+c", "-c", "-b", "-a"]


@pytest.mark.parametrize(
    ("yields", "message"),
    [
        pytest.param({"a": 2}, "b yields 'a', which is in the state already", id="taken"),
        pytest.param({"timing": 2}, "b yields 'timing', which a middleware sets", id="reserved"),
    ],
)
async def test_no_key_of_the_state_is_lost(yields: Mapping[str, object], message: str) -> None:
    contexts = [context("a", [], yields={"a": 1}), context("b", [], yields=yields)]

    with pytest.raises(LifespanFailed, match=message):
        async with lifespan(LifespanMiddleware(hello, lifespan=contexts)):
            pytest.fail("it did not start")


async def test_cancellation_unwinds() -> None:
    log: list[str] = []
    app = LifespanMiddleware(hello, lifespan=[context("a", log)])
    received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    received.put_nowait({"type": "lifespan.startup"})
    started = asyncio.Event()

    async def send(message: object) -> None:
        started.set()

    task = asyncio.create_task(app({"type": "lifespan"}, received.get, send))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert log == ["+a", "-a"]


async def test_one_instance_lives_twice() -> None:
    log: list[str] = []
    app = LifespanMiddleware(hello, lifespan=[context("a", log)])

    async with lifespan(app):
        pass
    async with lifespan(app):
        pass

    assert log == ["+a", "-a"] * 2


def test_refuses_what_cannot_be_called() -> None:
    with pytest.raises(ConfigurationError, match="lifespan: 'a' cannot be called"):
        LifespanMiddleware(hello, lifespan=["a"])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]
