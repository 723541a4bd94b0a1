"""A WebSocket makes all its calls on one thread, which requests never use."""

import asyncio
import gc
import threading
from collections import Counter
from contextlib import AsyncExitStack
from threading import Thread
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from asgi_middleware import ThreadPool, ThreadPoolMiddleware
from asgi_middleware.testing import lifespan, request, websocket
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import echo, lives

from .calls import PATIENCE, Blocking, current_thread, until, visiting


async def querying(scope: Scope, receive: Receive, send: Send) -> None:
    """Make a call for each message, like a consumer that queries a database."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":
        await sync_to_async(scope["x-query"])()
        await send({"type": "websocket.send", "text": "done"})


def querier(query: Any) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await querying({**scope, "x-query": query}, receive, send)

    return app


async def test_sockets_make_their_calls_at_the_same_time() -> None:
    # Each call waits for all the others.
    all_at_once = threading.Barrier(4, timeout=PATIENCE)

    async def converse(app: Any) -> None:
        async with websocket(app) as socket:
            await socket.send("query")
            assert await socket.receive() == "done"

    async with ThreadPool(size=4, max_overflow=0) as pool:
        app = ThreadPoolMiddleware(querier(all_at_once.wait), pool=pool)
        await asyncio.gather(*(converse(app) for _ in range(4)))


async def test_a_socket_makes_all_its_calls_on_one_thread() -> None:
    threads: list[Thread] = []

    def query() -> None:
        threads.append(threading.current_thread())

    async with ThreadPool(size=4, max_overflow=0) as pool:
        app = ThreadPoolMiddleware(querier(query), pool=pool)
        async with websocket(app) as one, websocket(app) as other:
            for socket in (one, other, one, other, other):
                await socket.send("query")
                assert await socket.receive() == "done"

    assert threads[0] is threads[2]
    assert threads[1] is threads[3] is threads[4]
    assert threads[0] is not threads[1]


async def test_sockets_are_spread_evenly_over_the_threads() -> None:
    used: Counter[Thread] = Counter()

    def query() -> None:
        used[threading.current_thread()] += 1

    async with ThreadPool(size=3, max_overflow=0) as pool, AsyncExitStack() as stack:
        app = ThreadPoolMiddleware(querier(query), pool=pool)
        for _ in range(12):
            socket = await stack.enter_async_context(websocket(app))
            await socket.send("query")
            assert await socket.receive() == "done"

    assert list(used.values()) == [4, 4, 4]


async def test_a_new_socket_gets_the_thread_of_one_that_has_left() -> None:
    used: list[Thread] = []

    def query() -> None:
        used.append(threading.current_thread())

    async with ThreadPool(size=2, max_overflow=0) as pool:
        app = ThreadPoolMiddleware(querier(query), pool=pool)

        async def ask(socket: Any) -> None:
            await socket.send("query")
            assert await socket.receive() == "done"

        async with websocket(app) as stays:
            await ask(stays)
            async with websocket(app) as leaves:
                await ask(leaves)
            users = pool.shared._users
            await until(lambda: gc.collect() >= 0 and 0 in users.values())
            async with websocket(app) as comes:
                await ask(comes)

    stayed, left, came = used
    assert came is left
    assert came is not stayed


async def test_sockets_never_share_a_thread_with_requests() -> None:
    async with ThreadPool(size=2, max_overflow=0) as pool:
        of_requests: list[Thread] = []
        of_sockets: list[Thread] = []

        async def visit() -> None:
            of_requests.append(await current_thread())

        def query() -> None:
            of_sockets.append(threading.current_thread())

        app = ThreadPoolMiddleware(querier(query), pool=pool)
        async with websocket(app) as socket:
            for _ in range(5):
                await socket.send("query")
                assert await socket.receive() == "done"
                await request(ThreadPoolMiddleware(visiting(visit), pool=pool))

    assert not set(of_requests) & set(of_sockets)


async def test_ten_thousand_idle_sockets_share_the_threads_of_the_pool() -> None:
    waiting = 0
    let_go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal waiting
        await current_thread()
        waiting += 1
        await let_go.wait()

    before = threading.active_count()
    async with ThreadPool(size=2, max_overflow=0) as pool, asyncio.TaskGroup() as tasks:
        middleware: Any = ThreadPoolMiddleware(app, pool=pool)
        for _ in range(10_000):
            tasks.create_task(middleware({"type": "websocket"}, None, None))
        await until(lambda: waiting == 10_000)
        assert threading.active_count() <= before + 2
        let_go.set()


async def test_calls_that_a_socket_makes_at_once_run_in_turn_on_its_thread() -> None:
    # That is why a consumer can keep state in its own attributes.
    first = Blocking()
    made: list[tuple[int, Thread]] = []

    def note(number: int) -> None:
        made.append((number, threading.current_thread()))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        running = asyncio.ensure_future(sync_to_async(first)())
        await first.begins()
        behind = [asyncio.ensure_future(sync_to_async(note)(number)) for number in range(5)]
        await asyncio.sleep(0)
        first.let_go.set()
        await asyncio.gather(*behind)
        note_thread = await running
        assert {thread for _, thread in made} == {note_thread}
        await echo(scope, receive, send)

    async with ThreadPool(size=4) as pool, websocket(ThreadPoolMiddleware(app, pool=pool)):
        assert [number for number, _ in made] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", ["lifespan", "channel", "x-of-tomorrow"])
async def test_every_other_scope_that_is_not_a_request_has_a_socket_thread_too(
    kind: str,
) -> None:
    both = threading.Barrier(2, timeout=PATIENCE)
    called: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(await sync_to_async(both.wait)())

    async with ThreadPool(size=2, max_overflow=0) as pool:
        middleware: Any = ThreadPoolMiddleware(app, pool=pool)
        await asyncio.gather(*(middleware({"type": kind}, None, None) for _ in range(2)))

        assert sorted(called) == [0, 1]
        assert pool.statistics() == (0, 0, 0, 0)


async def test_a_task_that_outlives_its_socket_stays_on_the_sockets_thread() -> None:
    let_go = asyncio.Event()
    tasks: list[asyncio.Task[Thread]] = []
    threads: list[Thread] = []

    async def outliving() -> Thread:
        await let_go.wait()
        return await current_thread()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        threads.append(await current_thread())
        tasks.append(asyncio.create_task(outliving()))

    async def another(scope: Scope, receive: Receive, send: Send) -> None:
        await current_thread()

    async with ThreadPool(size=4) as pool:
        for each in (app, another, another):
            middleware: Any = ThreadPoolMiddleware(each, pool=pool)
            await middleware({"type": "websocket"}, None, None)
        let_go.set()

        assert await tasks[0] is threads[0]


async def test_a_socket_can_go_on_after_the_pool_is_closed() -> None:
    pool = ThreadPool()
    threads: list[Thread] = []

    def query() -> None:
        threads.append(threading.current_thread())

    async with websocket(ThreadPoolMiddleware(querier(query), pool=pool)) as socket:
        for _ in range(2):
            await socket.send("query")
            assert await socket.receive() == "done"
            await asyncio.to_thread(pool.close)
    del socket

    assert threads[0] is not threads[1]
    await until(lambda: gc.collect() >= 0 and not any(thread.is_alive() for thread in threads))


async def test_a_task_that_startup_leaves_running_does_not_count_as_a_request() -> None:
    tasks: list[asyncio.Task[Thread]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.create_task(current_thread()))
        await lives(scope, receive, send)

    async with (
        ThreadPool(size=1, max_overflow=0) as pool,
        lifespan(ThreadPoolMiddleware(app, pool=pool)),
    ):
        assert (await tasks[0]).name == "thread pool socket"
        assert pool.statistics() == (0, 0, 0, 0)


async def test_a_pool_that_is_entered_again_ends_the_threads_that_started_in_between() -> None:
    threads: list[Thread] = []

    def query() -> None:
        threads.append(threading.current_thread())

    pool = ThreadPool()
    async with pool:
        pass
    async with websocket(ThreadPoolMiddleware(querier(query), pool=pool)) as socket:
        await socket.send("query")
        assert await socket.receive() == "done"
        async with pool:
            assert threads[0].is_alive()

    assert not threads[0].is_alive()
