"""What happens to a request that needs a thread when all threads are lent."""

import asyncio
import gc
import logging
import re
import time
import weakref
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async

from asgi_middleware import ThreadPool, ThreadPoolMiddleware
from asgi_middleware.testing import request, stream, websocket
from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send
from tests.apps import BODY, START

from .calls import PATIENCE, Blocking, current_thread, until, visiting

# The timeout of requests that should wait for too long, in seconds. Others have PATIENCE.
SOON = 0.05


@contextmanager
def letting_go(call: Blocking) -> Generator[None]:
    try:
        yield
    finally:
        call.let_go.set()


async def taken(pool: ThreadPool, call: Blocking) -> "asyncio.Task[object]":
    """Start a request that holds a thread until *call* is let go."""
    app = ThreadPoolMiddleware(visiting(sync_to_async(call)), pool=pool)
    task: asyncio.Task[object] = asyncio.create_task(request(app, timeout=PATIENCE))
    await call.begins()
    return task


def full(timeout: float) -> ThreadPool:
    return ThreadPool(size=1, max_overflow=0, timeout=timeout)


# --- requests that wait and get a thread ---


async def test_requests_get_threads_in_the_order_of_arrival() -> None:
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


async def test_calls_of_a_waiting_request_are_made_in_order() -> None:
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


async def test_a_request_that_is_cancelled_while_it_waits_is_forgotten() -> None:
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


async def test_nothing_of_a_call_stays_after_it_has_waited() -> None:
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

        await until(lambda: gc.collect() >= 0 and references[0]() is None)


# --- requests that wait for too long ---


def listening(visit: ASGIApp) -> ASGIApp:
    """Return an app that cancels *visit* when its client leaves, as Django cancels a view."""

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
async def test_a_request_that_waits_in_vain_gets_a_503(
    around: Callable[[ASGIApp], ASGIApp],
) -> None:
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


async def test_an_app_that_listens_gets_a_disconnect_and_then_a_thread_to_tidy_up() -> None:
    call = Blocking()
    tidied: list[object] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await listening(visiting(current_thread))(scope, receive, send)
        tidied.append(await receive())
        tidied.append(await current_thread())
        await send({**START, "status": 500})  # never reaches the client
        await send(BODY)

    async with full(SOON) as pool:
        first = await taken(pool, call)
        refused = asyncio.create_task(request(ThreadPoolMiddleware(app, pool=pool)))
        await until(lambda: len(tidied) == 1)
        await until(lambda: pool.statistics().waiting == 1)
        # This is longer than the request waited before it was refused.
        await asyncio.sleep(2 * SOON)
        assert pool.statistics().waiting == 1
        call.let_go.set()
        response = await refused
        await first

    assert response.status == 503
    assert tidied[0] == {"type": "http.disconnect"}
    assert len(tidied) == 2


async def test_an_app_may_send_its_own_response_instead_of_the_503() -> None:
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
async def test_a_stream_that_waits_in_vain_is_cut_off(
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


async def test_an_app_that_stops_listening_when_it_is_refused_may_be_cancelled() -> None:
    call = Blocking()
    sent: list[str] = []

    async def receive() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            # The pool has cancelled this call. Now the task is cancelled for another reason.
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
async def test_a_call_that_ends_a_request_waits_as_long_as_it_takes(gone: bool) -> None:
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


async def test_a_call_that_ends_a_request_with_a_thread_does_not_wait() -> None:
    call = Blocking()
    closed: list[Thread] = []
    ends = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        closed.append(await current_thread())
        await ends.wait()
        await send(START)
        await send(BODY)
        closed.append(await current_thread())

    async with full(PATIENCE) as pool:
        ending = asyncio.create_task(request(ThreadPoolMiddleware(app, pool=pool)))
        await until(lambda: len(closed) == 1)
        # Once this request rests, its place goes to another request.
        first = await taken(pool, call)
        with letting_go(call):
            ends.set()
            assert (await ending).status == 200
        await first

    assert closed[0] is closed[1]


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_a_task_that_outlives_its_app_does_not_wait_for_requests(kind: str) -> None:
    call = Blocking()
    tasks: list[asyncio.Task[Thread]] = []

    async def outliving() -> Thread:
        await call.begins()
        return await current_thread()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.create_task(outliving()))

    async with full(SOON) as pool:
        middleware: Any = ThreadPoolMiddleware(app, pool=pool)
        await middleware({"type": kind}, None, None)
        first = await taken(pool, call)
        with letting_go(call):
            thread = await tasks[0]
            assert pool.statistics() == (1, 0, 0, 0)
        await first

    assert thread is not call.thread


@pytest.mark.parametrize("kind", ["websocket", "lifespan", "channel", "x-of-tomorrow"])
async def test_a_call_that_is_not_a_request_does_not_wait_for_requests(kind: str) -> None:
    call = Blocking()
    threads: list[Thread] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        threads.append(await current_thread())

    async with full(SOON) as pool:
        first = await taken(pool, call)
        with letting_go(call):
            middleware: Any = ThreadPoolMiddleware(app, pool=pool)
            await middleware({"type": kind}, None, None)
        await first

    assert len(threads) == 1


# --- requests that rest ---


async def test_a_request_that_rests_leaves_its_place_and_keeps_its_thread() -> None:
    threads: list[Thread] = []
    rests, go_on = asyncio.Event(), asyncio.Event()

    async def resting() -> None:
        threads.append(await current_thread())
        rests.set()
        await go_on.wait()
        threads.append(await current_thread())

    async def visit() -> None:
        threads.append(await current_thread())

    async with full(PATIENCE) as pool:
        task = asyncio.create_task(request(ThreadPoolMiddleware(visiting(resting), pool=pool)))
        await rests.wait()
        await request(ThreadPoolMiddleware(visiting(visit), pool=pool))
        assert pool.statistics().leased == 1
        go_on.set()
        await task

    first, other, again = threads
    assert first is again
    assert first is not other


def visit_with_a_rest() -> tuple[asyncio.Event, asyncio.Event, Callable[[], Awaitable[None]]]:
    """Return an event set by the visit when it rests, one that lets it go on, and the visit."""
    rests, go_on = asyncio.Event(), asyncio.Event()

    async def resting() -> None:
        await current_thread()
        rests.set()
        await go_on.wait()
        await current_thread()

    return rests, go_on, resting


async def test_a_request_that_has_rested_waits_for_a_place_like_others() -> None:
    call = Blocking()
    rests, go_on, resting = visit_with_a_rest()

    async with full(PATIENCE) as pool:
        task = asyncio.create_task(request(ThreadPoolMiddleware(visiting(resting), pool=pool)))
        await rests.wait()
        first = await taken(pool, call)
        with letting_go(call):
            go_on.set()
            await until(lambda: pool.statistics() == (2, 0, 1, 1))
        await asyncio.gather(first, task)


async def test_a_request_on_a_busy_loop_does_not_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_middleware.thread_pool.pool.REST", 0.01)
    order: list[str] = []
    begun = asyncio.Event()

    async def first() -> None:
        for _ in range(5):
            await sync_to_async(order.append)("first")
            begun.set()

    async def second() -> None:
        await sync_to_async(order.append)("second")

    async def keep_busy() -> None:
        while len(order) < 6:
            time.sleep(0.02)  # noqa: ASYNC251 -- longer than a request has to rest
            await asyncio.sleep(0)

    async with full(PATIENCE) as pool:
        task = asyncio.create_task(request(ThreadPoolMiddleware(visiting(first), pool=pool)))
        await begun.wait()
        busy = asyncio.create_task(keep_busy())
        await request(ThreadPoolMiddleware(visiting(second), pool=pool), timeout=PATIENCE)
        await asyncio.gather(task, busy)

    assert order == ["first"] * 5 + ["second"]


class Client:
    """A client that reads some messages of a response, and no more until it is let go."""

    def __init__(self, reads: int) -> None:
        self._reads = reads
        self.is_full = asyncio.Event()
        self.let_go = asyncio.Event()

    async def receive(self) -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(self, message: Message) -> None:
        if self._reads:
            self._reads -= 1
            return
        self.is_full.set()
        await self.let_go.wait()


async def sends_from_the_loop(scope: Scope, receive: Receive, send: Send) -> None:
    await current_thread()
    await send(START)
    for _ in range(3):
        await send({**BODY, "more_body": True})
        await current_thread()
    await send(BODY)


async def sends_from_a_thread(scope: Scope, receive: Receive, send: Send) -> None:
    def calling() -> None:
        sending = async_to_sync(send)
        sending(START)
        for _ in range(3):
            sending({**BODY, "more_body": True})
        sending(BODY)

    await sync_to_async(calling)()


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize("app", [sends_from_the_loop, sends_from_a_thread])
async def test_clients_that_do_not_read_take_no_threads_from_others(
    app: ASGIApp, kind: str
) -> None:
    clients = [Client(reads=1) for _ in range(24)]

    async with ThreadPool(size=2, max_overflow=2, timeout=PATIENCE) as pool:
        middleware: Any = ThreadPoolMiddleware(app, pool=pool)
        scope = {"type": kind, "method": "GET", "path": "/"}
        tasks = [
            asyncio.create_task(middleware(scope, client.receive, client.send))
            for client in clients
        ]
        async with asyncio.timeout(PATIENCE):
            for client in clients:
                await client.is_full.wait()
        for served in ({"type": "http", "method": "GET", "path": "/"}, {"type": "websocket"}):
            visit: Any = ThreadPoolMiddleware(visiting(current_thread), pool=pool)
            async with asyncio.timeout(PATIENCE):
                await (request(visit) if served["type"] == "http" else opened(visit))
        for client in clients:
            client.let_go.set()
        await asyncio.gather(*tasks)
        await until(lambda: pool.statistics().leased == 0)


async def opened(app: ASGIApp) -> None:
    async with websocket(app):
        pass


# --- the log and the probe ---


def lines(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Return the level and the text of what the pool has logged, with N seconds for any time."""
    return [
        (record.levelno, re.sub(r"for \d+ s\b", "for N s", record.getMessage()))
        for record in caplog.records
        if record.name == "asgi_middleware.thread_pool"
    ]


async def test_one_line_names_the_requests_at_work_until_there_are_places_again(
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

    line = "no thread within 0.05 s; 5 requests wait; at work: GET / for N s"
    assert lines(caplog) == [(logging.WARNING, line)] * 2


async def test_a_client_cannot_forge_a_log_line_or_make_it_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with full(SOON) as pool:
        calls = [Blocking() for _ in range(1)]
        app: Any = ThreadPoolMiddleware(visiting(sync_to_async(calls[0])), pool=pool)
        path = "/a\nforged: " + "x" * 10_000
        scope = {"type": "http", "method": "G\nET", "path": path}
        client = Client(reads=2)
        first = asyncio.create_task(app(scope, client.receive, client.send))
        await calls[0].begins()
        with letting_go(calls[0]):
            await request(ThreadPoolMiddleware(visiting(current_thread), pool=pool))
        await first

    assert "\n" not in caplog.messages[0]
    assert len(caplog.messages[0]) < 400


async def test_the_log_line_names_ten_requests_and_counts_the_rest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    calls = [Blocking() for _ in range(12)]

    async with ThreadPool(size=12, max_overflow=0, timeout=SOON) as pool:
        tasks = [await taken(pool, call) for call in calls]
        await request(ThreadPoolMiddleware(visiting(current_thread), pool=pool))
        for call in calls:
            call.let_go.set()
        await asyncio.gather(*tasks)

    assert caplog.messages[0].count("GET /") == 10
    assert caplog.messages[0].endswith("2 more")


async def test_the_check_fails_when_there_has_been_no_place_for_too_long() -> None:
    call = Blocking()

    async with full(SOON) as pool:
        await pool.check()
        first = await taken(pool, call)
        await pool.check()  # passes, because no request waits
        with letting_go(call):
            await request(ThreadPoolMiddleware(visiting(current_thread), pool=pool))
            with pytest.raises(TimeoutError, match=r"at work: GET / for \d+ s"):
                # No request waits any more, but there is still no place.
                await until_raised(pool)
        await first
        await pool.check()


async def until_raised(pool: ThreadPool) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            await pool.check()
            await asyncio.sleep(SOON)


async def until_passed(pool: ThreadPool) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await pool.check()
            except TimeoutError:
                await asyncio.sleep(SOON)


async def test_the_check_passes_once_the_requests_at_work_rest() -> None:
    rests, go_on = asyncio.Event(), asyncio.Event()
    call = Blocking()

    async def resting() -> None:
        await sync_to_async(call)()
        rests.set()
        await go_on.wait()

    async with full(SOON) as pool:
        task = asyncio.create_task(request(ThreadPoolMiddleware(visiting(resting), pool=pool)))
        await call.begins()
        with letting_go(call):
            await request(ThreadPoolMiddleware(visiting(current_thread), pool=pool))
        await rests.wait()
        await until_passed(pool)
        go_on.set()
        await task


async def test_the_check_passes_while_requests_wait_and_get_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = [Blocking() for _ in range(8)]
    passed = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed)
    monkeypatch.setattr("asgi_middleware.thread_pool.pool.time", clock)

    async with full(PATIENCE) as pool:
        tasks = [await taken(pool, calls[0])]
        for call, following in pairwise(calls):
            app = ThreadPoolMiddleware(visiting(sync_to_async(following)), pool=pool)
            tasks.append(asyncio.create_task(request(app, timeout=PATIENCE)))
            await until(lambda: pool.statistics().waiting == 1)
            # There is no free place for longer than the timeout, but no request waits that long.
            passed += PATIENCE / 4
            await pool.check()
            call.let_go.set()
            await following.begins()
        calls[-1].let_go.set()
        await asyncio.gather(*tasks)


# --- places are counted right, whatever happens ---


def is_idle(pool: ThreadPool) -> bool:
    return pool.statistics()[::3] == (0, 0) and pool._places_taken == 0 and not pool._resting


async def test_a_request_that_is_cancelled_while_it_waits_again_gives_its_thread_back() -> None:
    call = Blocking()
    rests, go_on, resting = visit_with_a_rest()

    async with full(PATIENCE) as pool:
        app: Any = ThreadPoolMiddleware(visiting(resting), pool=pool)
        client = Client(reads=2)
        scope = {"type": "http", "method": "GET", "path": "/"}
        task = asyncio.create_task(app(scope, client.receive, client.send))
        await rests.wait()
        first = await taken(pool, call)
        with letting_go(call):
            go_on.set()
            await until(lambda: pool.statistics().waiting == 1)
            task.cancel()
            await asyncio.wait({task})
            await until(lambda: pool.statistics().leased == 1)
        await first
        await until(lambda: is_idle(pool))


async def test_a_send_that_returns_while_its_request_waits_takes_one_place() -> None:
    client = Client(reads=0)
    calls = [Blocking(), Blocking()]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        async def another() -> None:
            await client.is_full.wait()
            await calls[0].begins()
            await calls[1].begins()
            await current_thread()

        await asyncio.gather(sync_to_async(async_to_sync(send))(START), another())

    async with ThreadPool(size=2, max_overflow=0, timeout=PATIENCE) as pool:
        middleware: Any = ThreadPoolMiddleware(app, pool=pool)
        scope = {"type": "http", "method": "GET", "path": "/"}
        task = asyncio.create_task(middleware(scope, client.receive, client.send))
        await client.is_full.wait()
        others = [await taken(pool, call) for call in calls]
        await until(lambda: pool.statistics().waiting == 1)
        client.let_go.set()
        await task
        for call in calls:
            call.let_go.set()
        await asyncio.gather(*others)
        await until(lambda: is_idle(pool))


async def test_a_refused_request_that_still_waits_gets_the_place_of_one_that_rests() -> None:
    call = Blocking()
    rests, go_on = asyncio.Event(), asyncio.Event()
    tasks: list[asyncio.Task[Thread]] = []

    async def resting() -> None:
        await sync_to_async(call)()
        rests.set()
        await go_on.wait()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.create_task(current_thread()))
        await receive()
        await receive()

    async with full(SOON) as pool:
        first = asyncio.create_task(request(ThreadPoolMiddleware(visiting(resting), pool=pool)))
        await call.begins()
        with letting_go(call):
            assert (await request(ThreadPoolMiddleware(app, pool=pool))).status == 503
        await rests.wait()
        async with asyncio.timeout(PATIENCE):
            await tasks[0]
        go_on.set()
        await first


async def test_a_503_is_sent_completely_even_if_the_request_goes_on_meanwhile() -> None:
    call = Blocking()
    client = Client(reads=0)
    sent: list[str] = []

    async def send(message: Message) -> None:
        await client.send(message)
        sent.append(message["type"])

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        hearing = asyncio.ensure_future(receive())
        await current_thread()
        await send(START)
        hearing.cancel()
        await asyncio.wait({hearing})

    async with full(SOON) as pool:
        first = await taken(pool, call)
        middleware: Any = ThreadPoolMiddleware(app, pool=pool)
        scope = {"type": "http", "method": "GET", "path": "/"}
        task = asyncio.create_task(middleware(scope, client.receive, send))
        await client.is_full.wait()
        call.let_go.set()
        await first
        await asyncio.sleep(SOON)
        client.let_go.set()
        await task

    assert sent == ["http.response.start", "http.response.body"]
