"""What becomes of a request that needs a thread when all are lent."""

import asyncio
import gc
import logging
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from asgiref.sync import sync_to_async

from asgi_middleware import ThreadPool, ThreadPoolMiddleware
from asgi_middleware.testing import HandshakeRefused, SocketClosed, request, stream, websocket
from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send
from tests.apps import BODY, START, echo

from .calls import PATIENCE, Blocking, current_thread, until, visiting

# Seconds that are waited in vain. Where nobody is to wait in vain, PATIENCE.
SOON = 0.05


@contextmanager
def letting_go(call: Blocking) -> Generator[None]:
    try:
        yield
    finally:
        call.let_go.set()


async def taken(pool: ThreadPool, call: Blocking) -> "asyncio.Task[object]":
    """Start a request that has a thread until *call* is let go."""
    app = ThreadPoolMiddleware(visiting(sync_to_async(call)), pool=pool)
    task: asyncio.Task[object] = asyncio.create_task(request(app, timeout=PATIENCE))
    await call.begins()
    return task


def full(timeout: float) -> ThreadPool:
    return ThreadPool(size=1, max_overflow=0, timeout=timeout)


# --- in order ---


async def test_threads_are_given_in_the_order_of_arrival() -> None:
    call = Blocking()
    order: list[int] = []

    async with full(PATIENCE) as pool:
        first = await taken(pool, call)
        waiting: list[asyncio.Task[object]] = []
        for number in range(5):
            visit = partial(sync_to_async(order.append), number)
            app = ThreadPoolMiddleware(visiting(visit), pool=pool)
            waiting.append(asyncio.create_task(request(app)))
            await until(lambda: pool.statistics().waiting == len(waiting))
        call.let_go.set()
        await asyncio.gather(first, *waiting)

    assert order == [0, 1, 2, 3, 4]


async def test_calls_that_wait_together_are_made_in_turn() -> None:
    call = Blocking()
    order: list[int] = []

    async def visit() -> None:
        await asyncio.gather(*(sync_to_async(order.append)(number) for number in range(5)))

    async with full(PATIENCE) as pool:
        first = await taken(pool, call)
        waiting = asyncio.create_task(request(ThreadPoolMiddleware(visiting(visit), pool=pool)))
        await until(lambda: pool.statistics().waiting == 1)
        call.let_go.set()
        await asyncio.gather(first, waiting)

    assert order == [0, 1, 2, 3, 4]


async def test_who_stops_waiting_is_forgotten() -> None:
    call, unwanted = Blocking(), Blocking()

    async with full(PATIENCE) as pool:
        first = await taken(pool, call)
        with letting_go(call):
            app = ThreadPoolMiddleware(visiting(sync_to_async(unwanted)), pool=pool)
            async with stream(app) as exchange:
                await until(lambda: pool.statistics().waiting == 1)
                exchange.cancel()
            assert pool.statistics() == (1, 0, 0, 0)
        await first
        await request(ThreadPoolMiddleware(visiting(current_thread), pool=pool))

    assert not unwanted.begun.is_set()


async def test_nothing_stays_of_a_call_that_has_waited() -> None:
    call = Blocking()
    references: list[weakref.ref[Blocking]] = []

    async def visit() -> None:
        argument = Blocking()
        references.append(weakref.ref(argument))
        await sync_to_async(id)(argument)

    async with full(timeout=100 * PATIENCE) as pool:
        first = await taken(pool, call)
        waiting = asyncio.create_task(request(ThreadPoolMiddleware(visiting(visit), pool=pool)))
        await until(lambda: pool.statistics().waiting == 1)
        call.let_go.set()
        await asyncio.gather(first, waiting)
        gc.collect()

        await until(lambda: references[0]() is None)


# --- in vain ---


def listening(visit: ASGIApp) -> ASGIApp:
    """Return an app that ends *visit* when its client has gone, as Django ends a view."""

    async def hear(receive: Receive) -> None:
        await receive()
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        view = asyncio.ensure_future(visit(scope, receive, send))
        gone = asyncio.ensure_future(hear(receive))
        await asyncio.wait({view, gone}, return_when=asyncio.FIRST_COMPLETED)
        for task in (view, gone):
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled():
                task.result()

    return app


every_app = pytest.mark.parametrize(
    "around", [listening, lambda app: app], ids=["listening", "not listening"]
)


@every_app
async def test_a_request_is_answered_503(around: Callable[[ASGIApp], ASGIApp]) -> None:
    call = Blocking()

    async with full(SOON) as pool:
        first = await taken(pool, call)
        with letting_go(call):
            app = around(visiting(current_thread))
            response = await request(ThreadPoolMiddleware(app, pool=pool))
            statistics = pool.statistics()
        await first

    assert response.status == 503
    assert response.headers == (
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"23"),
        (b"retry-after", b"1"),
        (b"cache-control", b"no-store"),
    )
    assert response.body == b"Too busy at the moment."
    assert statistics == (1, 0, 0, 0)


async def test_an_app_that_listens_is_told_of_a_disconnect_and_then_lent_a_thread() -> None:
    call = Blocking()
    tidied: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await listening(visiting(current_thread))(scope, receive, send)
        tidied.append(await receive())
        tidied.append(await current_thread())
        await send({**START, "status": 500})  # to nobody
        await send(BODY)

    async with full(SOON) as pool:
        first = await taken(pool, call)
        refused = asyncio.create_task(request(ThreadPoolMiddleware(app, pool=pool)))
        await until(lambda: len(tidied) == 1)
        await until(lambda: pool.statistics().waiting == 1)
        # Longer than it would have waited before.
        await asyncio.sleep(2 * SOON)
        assert pool.statistics().waiting == 1
        call.let_go.set()
        response = await refused
        await first

    assert response.status == 503
    assert tidied[0] == {"type": "http.disconnect"}
    assert len(tidied) == 2


async def test_an_app_may_answer_something_else() -> None:
    call = Blocking()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await current_thread()
        except TimeoutError:
            await send({**START, "status": 429})
            await send(BODY)

    async with full(SOON) as pool:
        first = await taken(pool, call)
        with letting_go(call):
            response = await request(ThreadPoolMiddleware(app, pool=pool))
        await first

    assert response.status == 429


@every_app
async def test_a_stream_that_waits_in_vain_is_broken_off(
    around: Callable[[ASGIApp], ASGIApp],
) -> None:
    call = Blocking()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        await send({**BODY, "more_body": True})
        await current_thread()

    async with full(SOON) as pool:
        first = await taken(pool, call)
        with letting_go(call):
            response = await request(
                ThreadPoolMiddleware(around(app), pool=pool), raise_app_exceptions=False
            )
        await first

    assert response.status == 200
    assert not response.complete
    assert isinstance(response.exception, TimeoutError)


async def test_an_app_that_stops_listening_at_that_moment_is_cancelled() -> None:
    call = Blocking()
    sent: list[str] = []

    async def receive() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # The pool has cancelled this; somebody else does now.
            current = asyncio.current_task()
            assert current is not None
            current.cancel()
            raise

    async def send(message: Message) -> None:
        sent.append(message["type"])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        listening = asyncio.ensure_future(receive())
        view = asyncio.ensure_future(current_thread())
        await asyncio.wait({listening})
        assert listening.cancelled()
        view.cancel()
        await asyncio.wait({view})

    async with full(SOON) as pool:
        first = await taken(pool, call)
        with letting_go(call):
            middleware: Any = ThreadPoolMiddleware(app, pool=pool)
            await middleware({"type": "http"}, receive, send)
        await first

    assert sent == ["http.response.start", "http.response.body"]


@pytest.mark.parametrize("gone", [False, True], ids=["complete", "client gone"])
async def test_what_ends_a_request_waits_as_long_as_it_takes(gone: bool) -> None:
    call = Blocking()
    closed: list[bool] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if gone:
            while (await receive())["type"] != "http.disconnect":
                pass
        else:
            await send(START)
            await send(BODY)
        closed.append(await sync_to_async(call.let_go.is_set)())

    async with full(SOON) as pool:
        first = await taken(pool, call)
        async with stream(ThreadPoolMiddleware(app, pool=pool), timeout=PATIENCE) as exchange:
            if gone:
                exchange.disconnect()
            await until(lambda: pool.statistics().waiting == 1)
            await asyncio.sleep(2 * SOON)
            assert pool.statistics().waiting == 1
            call.let_go.set()
        await first

    assert closed == [True]


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_task_that_outlives_its_app_waits_as_long_as_it_takes(kind: str) -> None:
    call = Blocking()
    tasks: list[asyncio.Task[bool]] = []

    async def outliving() -> bool:
        await call.begins()
        return await sync_to_async(call.let_go.is_set)()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.create_task(outliving()))

    async with full(SOON) as pool:
        middleware: Any = ThreadPoolMiddleware(app, pool=pool)
        await middleware({"type": kind}, None, None)
        first = await taken(pool, call)
        await until(lambda: pool.statistics().waiting == 1)
        await asyncio.sleep(2 * SOON)
        call.let_go.set()
        await first

        assert await tasks[0]


async def test_one_line_is_logged_until_there_are_threads_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with full(SOON) as pool:
        app = ThreadPoolMiddleware(visiting(current_thread), pool=pool)
        for _ in range(2):
            call = Blocking()
            first = await taken(pool, call)
            with letting_go(call):
                await asyncio.gather(*(request(app) for _ in range(5)))
            await first

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "no thread within 0.05 s: all 1 are lent, 5 requests wait for one"),
        (logging.WARNING, "no thread within 0.05 s: all 1 are lent, 5 requests wait for one"),
    ]


# --- WebSockets ---


async def test_a_socket_is_closed_with_1013() -> None:
    call = Blocking()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await current_thread()

    async with full(SOON) as pool:
        first = await taken(pool, call)
        with letting_go(call):
            async with websocket(ThreadPoolMiddleware(app, pool=pool)) as socket:
                await socket.send("hello")
                with pytest.raises(SocketClosed) as closed:
                    await socket.receive()
        await first

    assert closed.value.code == 1013


async def test_where_a_server_does_not_send_1013_it_is_closed_with_1000() -> None:
    # As Daphne, where autobahn knows 1000 and an application's own codes.
    call = Blocking()
    sent: list[Message] = []

    async def send(message: Message) -> None:
        if message["code"] == 1013:
            raise Exception("invalid close code 1013")  # noqa: TRY002 -- as autobahn does
        sent.append(message)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await current_thread()

    async with full(SOON) as pool:
        first = await taken(pool, call)
        with letting_go(call):
            middleware: Any = ThreadPoolMiddleware(app, pool=pool)
            await middleware({"type": "websocket"}, None, send)
        await first

    assert sent == [{"type": "websocket.close", "code": 1000}]


async def test_a_socket_that_is_closed_already_is_not_closed_again() -> None:
    call = Blocking()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close", "code": 1000})
        await current_thread()

    async with full(SOON) as pool:
        first = await taken(pool, call)
        with letting_go(call), pytest.raises(TimeoutError, match="no thread within"):
            async with websocket(ThreadPoolMiddleware(app, pool=pool)):
                pass
        await first


async def test_a_handshake_is_refused() -> None:
    call = Blocking()

    async with full(SOON) as pool:
        first = await taken(pool, call)
        with letting_go(call), pytest.raises(HandshakeRefused):
            async with websocket(ThreadPoolMiddleware(visiting(current_thread), pool=pool)):
                pass
        await first


async def test_a_consumer_may_do_something_else() -> None:
    call = Blocking()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        with pytest.raises(TimeoutError):
            await current_thread()
        await echo(scope, receive, send)

    async with full(SOON) as pool:
        first = await taken(pool, call)
        with letting_go(call):
            async with websocket(ThreadPoolMiddleware(app, pool=pool)) as socket:
                await socket.send("still here")
                assert await socket.receive() == "still here"
        await first
