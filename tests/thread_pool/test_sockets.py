"""What lasts has a thread for as long as a call takes, and none in between."""

import asyncio
import threading
from threading import Thread
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from asgi_middleware import ThreadPool, ThreadPoolMiddleware
from asgi_middleware.testing import lifespan, websocket
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import echo, lives

from .calls import PATIENCE, Blocking, current_thread, until


async def querying(scope: Scope, receive: Receive, send: Send) -> None:
    """Make a call for each message, like a consumer that asks a database."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":
        await sync_to_async(scope["x-query"])()
        await send({"type": "websocket.send", "text": "done"})


def querier(query: Any) -> Any:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await querying({**scope, "x-query": query}, receive, send)

    return app


async def test_sockets_make_their_calls_at_once() -> None:
    # Each call waits for all others.
    all_at_once = threading.Barrier(4, timeout=PATIENCE)

    async def converse(app: Any) -> None:
        async with websocket(app) as socket:
            await socket.send("query")
            assert await socket.receive() == "done"

    async with ThreadPool(size=4, max_overflow=0) as pool:
        app = ThreadPoolMiddleware(querier(all_at_once.wait), pool=pool)
        await asyncio.gather(*(converse(app) for _ in range(4)))
        assert pool.statistics() == (0, 4, 0, 0)


async def test_a_socket_holds_no_thread_between_calls() -> None:
    threads: list[Thread] = []

    def query() -> None:
        threads.append(threading.current_thread())

    async with ThreadPool(size=1, max_overflow=0) as pool:
        app = ThreadPoolMiddleware(querier(query), pool=pool)
        async with websocket(app) as one, websocket(app) as other:
            for socket in (one, other, one):
                await socket.send("query")
                assert await socket.receive() == "done"
                assert pool.statistics() == (0, 1, 0, 0)

    assert len(set(threads)) == 1


async def test_ten_thousand_idle_sockets_hold_no_thread() -> None:
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
        assert pool.statistics() == (0, 2, 0, 0)
        assert threading.active_count() <= before + 2
        let_go.set()


async def test_calls_that_a_socket_makes_at_once_are_made_in_turn_on_one_thread() -> None:
    # As before: what a consumer keeps in its own attributes is safe.
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
async def test_so_does_everything_else_that_is_no_request(kind: str) -> None:
    both = threading.Barrier(2, timeout=PATIENCE)
    called: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        called.append(await sync_to_async(both.wait)())

    async with ThreadPool(size=2, max_overflow=0) as pool:
        middleware: Any = ThreadPoolMiddleware(app, pool=pool)
        await asyncio.gather(*(middleware({"type": kind}, None, None) for _ in range(2)))

        assert sorted(called) == [0, 1]
        assert pool.statistics() == (0, 2, 0, 0)


async def test_a_task_that_start_up_leaves_has_a_thread_for_each_call() -> None:
    tasks: list[asyncio.Task[Thread]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.create_task(current_thread()))
        await lives(scope, receive, send)

    async with (
        ThreadPool(size=1, max_overflow=0) as pool,
        lifespan(ThreadPoolMiddleware(app, pool=pool)),
    ):
        await tasks[0]
        assert pool.statistics() == (0, 1, 0, 0)
