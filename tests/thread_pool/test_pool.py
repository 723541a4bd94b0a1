"""The threads of a pool: how many there are, when they start, and when they end."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from asgi_middleware import (
    LifespanMiddleware,
    ThreadPool,
    ThreadPoolMiddleware,
    _threads,
    compose,
)
from asgi_middleware.testing import lifespan, request
from tests.apps import hello

from .calls import PATIENCE, Blocking, current_thread, until, visiting


def test_a_pool_shows_its_options() -> None:
    pool = ThreadPool(4, max_overflow=2, timeout=5, streams="release")

    assert repr(pool) == "ThreadPool(size=4, max_overflow=2, timeout=5, streams='release')"
    assert repr(ThreadPoolMiddleware(hello, pool=pool)) == f"ThreadPoolMiddleware(pool={pool!r})"


async def test_a_thread_starts_when_one_is_needed_and_is_used_again() -> None:
    threads: list[threading.Thread] = []

    async def visit() -> None:
        threads.append(await current_thread())

    async with ThreadPool() as pool:
        app = ThreadPoolMiddleware(visiting(visit), pool=pool)
        assert pool.statistics() == (0, 0, 0, 0)
        for _ in range(100):
            await request(app)

        assert len(set(threads)) == 1
        assert pool.statistics() == (0, 1, 0, 0)


async def test_overflow_threads_end_and_the_others_stay() -> None:
    new = _new_threads("thread pool")
    calls = [Blocking() for _ in range(5)]

    async with ThreadPool(size=2) as pool:
        requests = [
            asyncio.create_task(request(ThreadPoolMiddleware(_making(call), pool=pool)))
            for call in calls
        ]
        for call in calls:
            await call.begins()
        assert pool.statistics()._asdict() == {
            "leased": 5,
            "idle": 0,
            "overflow": 3,
            "waiting": 0,
        }
        for call in calls:
            call.let_go.set()
        await asyncio.gather(*requests)

        await until(lambda: pool.statistics() == (0, 2, 0, 0))
        await until(lambda: len(new()) == 2)


async def test_an_overflow_thread_may_be_needed_again_before_it_ends() -> None:
    first, second, third = Blocking(), Blocking(), Blocking()

    async with ThreadPool(size=1) as pool:
        requests = [_start(pool, first), _start(pool, second)]
        await first.begins()
        await second.begins()
        second.let_go.set()
        await requests[1]
        requests.append(_start(pool, third))
        await third.begins()

        assert pool.statistics() == (2, 0, 1, 0)
        first.let_go.set()
        third.let_go.set()
        await asyncio.gather(*requests)


async def test_an_overflow_thread_does_not_end_while_it_is_lent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_threads, "LINGER", 0.001)
    call = Blocking()
    idle = 0

    async with ThreadPool(size=1) as pool:
        retire = pool._retire

        def counting(thread: Any) -> bool:
            nonlocal idle
            idle += 1
            return retire(thread)

        async def visit() -> None:
            first = await current_thread()
            # The thread has nothing to do for longer than an idle overflow thread would stay.
            await until(lambda: idle > 2)
            assert await current_thread() is first

        monkeypatch.setattr(pool, "_retire", counting)
        lasting = _start(pool, call)
        await call.begins()
        await request(ThreadPoolMiddleware(visiting(visit), pool=pool))
        call.let_go.set()
        await lasting


async def test_at_the_end_of_a_pools_context_all_its_threads_have_ended() -> None:
    threads: list[threading.Thread] = []

    async def visit() -> None:
        threads.append(await current_thread())

    async with ThreadPool() as pool:
        await request(ThreadPoolMiddleware(visiting(visit), pool=pool))
        assert threads[0].is_alive()

    assert not threads[0].is_alive()
    assert pool.statistics() == (0, 0, 0, 0)


async def test_the_end_of_a_pools_context_waits_for_a_running_call() -> None:
    call = Blocking()
    pool = ThreadPool()
    new, shutdown = _new_threads("thread pool"), _new_threads("thread pool shutdown")

    running = _start(pool, call)
    await call.begins()
    assert len(new()) == 1
    closing = asyncio.create_task(_used(pool))
    await until(lambda: len(shutdown()) == 1)
    assert not closing.done()
    call.let_go.set()
    await closing

    assert (await running).status == 200
    assert new() == set()


async def _used(pool: ThreadPool) -> None:
    async with pool:
        pass


async def test_a_closed_pool_still_serves_and_keeps_no_thread() -> None:
    threads: list[threading.Thread] = []

    async def visit() -> None:
        threads.append(await current_thread())

    async with ThreadPool() as pool:
        pass
    response = await request(ThreadPoolMiddleware(visiting(visit), pool=pool))

    assert response.status == 200
    assert pool.statistics() == (0, 0, 0, 0)
    await until(lambda: not threads[0].is_alive())


async def test_each_lifespan_opens_and_closes_the_pool() -> None:
    threads: list[threading.Thread] = []

    async def visit() -> None:
        threads.append(await current_thread())

    pool = ThreadPool()
    app = compose(
        lambda app: LifespanMiddleware(app, lifespan=[pool]),
        lambda app: ThreadPoolMiddleware(app, pool=pool),
    )(_living(visit))

    for _ in range(2):
        async with lifespan(app) as running:
            await request(running)
            await request(running)
            assert pool.statistics() == (0, 1, 0, 0)
        assert pool.statistics() == (0, 0, 0, 0)
    assert [thread.is_alive() for thread in threads] == [False] * 4
    assert len(set(threads)) == 2


def _living(visit: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await (hello if scope["type"] == "lifespan" else visiting(visit))(scope, receive, send)

    return app


async def test_a_lifespan_that_ends_leaves_the_pool_open_for_another() -> None:
    async with ThreadPool() as pool:
        async with pool:
            await request(ThreadPoolMiddleware(visiting(current_thread), pool=pool))
        assert pool.statistics() == (0, 1, 0, 0)


def test_two_event_loops_share_a_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    # Otherwise the first request could rest on a slow machine, and keep its thread.
    monkeypatch.setattr("asgi_middleware.thread_pool.pool.REST", PATIENCE)
    pool = ThreadPool(size=1, max_overflow=0)
    first, second = Blocking(), Blocking()

    async def serve(call: Blocking) -> threading.Thread:
        threads: list[threading.Thread] = []

        async def visit() -> None:
            threads.append(await sync_to_async(call)())

        await request(ThreadPoolMiddleware(visiting(visit), pool=pool), timeout=PATIENCE)
        return threads[0]

    async def both() -> list[threading.Thread]:
        one = asyncio.create_task(asyncio.to_thread(asyncio.run, serve(first)))
        await first.begins()
        other = asyncio.create_task(asyncio.to_thread(asyncio.run, serve(second)))
        await until(lambda: pool.statistics().waiting == 1)
        # The thread goes from a request on one loop to a request on the other.
        first.let_go.set()
        await second.begins()
        second.let_go.set()
        return [await one, await other]

    one, other = asyncio.run(both())
    pool.close()

    assert one is other


def test_a_call_that_outlives_its_loop_gives_its_thread_back() -> None:
    pool = ThreadPool()
    call = Blocking()

    async def abandon() -> None:
        _start(pool, call)
        await call.begins()

    asyncio.run(abandon())
    assert pool.statistics() == (1, 0, 0, 0)
    call.let_go.set()
    asyncio.run(until(lambda: pool.statistics() == (0, 1, 0, 0)))
    pool.close()


def _making(call: Blocking) -> Any:
    async def visit() -> None:
        await sync_to_async(call)()

    return visiting(visit)


def _start(pool: ThreadPool, call: Blocking) -> "asyncio.Task[Any]":
    app = ThreadPoolMiddleware(_making(call), pool=pool)
    return asyncio.create_task(request(app, timeout=PATIENCE))


def _new_threads(name: str) -> Callable[[], set[threading.Thread]]:
    """Return a function that returns the living threads of this name that start from now on."""

    def alive() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if thread.name == name}

    before = alive()
    return lambda: alive() - before
