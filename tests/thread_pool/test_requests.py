"""A request has one thread, from its first sync call to its end, and shares it with no other."""

import asyncio
import gc
import sys
import threading
import weakref
from collections.abc import AsyncIterator
from contextlib import suppress
from contextvars import ContextVar
from threading import Thread
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async
from hypothesis import given
from hypothesis import strategies as st

from asgi_middleware import ThreadPool, ThreadPoolMiddleware
from asgi_middleware.testing import request, stream
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import BODY, START, hello, sending

from .calls import PATIENCE, Blocking, current_thread, until, visiting


@pytest.fixture(autouse=True)
def _nobody_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a slow machine a request could rest and so leave its place; see test_full.py for that.
    monkeypatch.setattr("asgi_middleware.thread_pool.pool.REST", PATIENCE)


@pytest.fixture
async def pool() -> AsyncIterator[ThreadPool]:
    """A pool with only one thread, so that other requests must wait while one keeps it."""
    async with ThreadPool(size=1, max_overflow=0) as pool:
        yield pool


# --- the thread of a request ---


@given(
    plans=st.lists(st.lists(st.sampled_from(["call", "wait", "nest"]), max_size=4), max_size=8),
    size=st.integers(1, 3),
    max_overflow=st.integers(0, 2),
)
def test_a_request_makes_all_its_calls_on_one_thread_that_no_other_request_uses(
    plans: list[list[str]], size: int, max_overflow: int
) -> None:
    used: list[list[Thread]] = []
    # The request that has each thread, from its first call to its end.
    owners: dict[Thread, object] = {}
    clashes: list[object] = []
    peak = 0

    async def serve() -> None:
        async with ThreadPool(size, max_overflow=max_overflow) as pool:
            apps = [ThreadPoolMiddleware(app(plan), pool=pool) for plan in plans]
            await asyncio.gather(*(request(app, timeout=PATIENCE) for app in apps))
            assert pool.statistics().leased == pool.statistics().waiting == 0

    def app(plan: list[str]) -> ASGIApp:
        me = object()
        threads: list[Thread] = []
        used.append(threads)

        def call() -> None:
            nonlocal peak
            thread = threading.current_thread()
            threads.append(thread)
            if owners.setdefault(thread, me) is not me:
                clashes.append(thread)
            peak = max(peak, len(owners))

        def nest() -> None:
            call()
            async_to_sync(sync_to_async(call))()

        async def visit() -> None:
            for step in plan:
                if step == "wait":
                    await asyncio.sleep(0)
                else:
                    await sync_to_async(call if step == "call" else nest)()
            for thread in set(threads):
                del owners[thread]

        return visiting(visit)

    asyncio.run(serve())

    assert [len(set(threads)) for threads in used if threads] == [1 for t in used if t]
    assert clashes == []
    assert peak <= size + max_overflow


async def test_a_request_keeps_its_thread_between_calls(pool: ThreadPool) -> None:
    order: list[str] = []
    called, go_on = asyncio.Event(), asyncio.Event()

    async def first() -> None:
        await sync_to_async(order.append)("first")
        called.set()
        await go_on.wait()
        await sync_to_async(order.append)("first again")

    async def second() -> None:
        await sync_to_async(order.append)("second")

    one = asyncio.create_task(request(ThreadPoolMiddleware(visiting(first), pool=pool)))
    await called.wait()
    other = asyncio.create_task(request(ThreadPoolMiddleware(visiting(second), pool=pool)))
    await until(lambda: pool.statistics().waiting == 1)
    go_on.set()
    await asyncio.gather(one, other)

    assert order == ["first", "first again", "second"]


async def test_calls_that_a_request_makes_at_once_run_in_turn_on_its_thread(
    pool: ThreadPool,
) -> None:
    order: list[int] = []

    async def visit() -> None:
        await asyncio.gather(*(sync_to_async(order.append)(number) for number in range(10)))

    await request(ThreadPoolMiddleware(visiting(visit), pool=pool))

    assert order == list(range(10))


async def test_a_request_without_sync_calls_needs_no_thread(pool: ThreadPool) -> None:
    await request(ThreadPoolMiddleware(hello, pool=pool))

    assert pool.statistics() == (0, 0, 0, 0)


async def test_a_call_that_outlives_its_request_keeps_its_thread_until_it_returns(
    caplog: pytest.LogCaptureFixture,
) -> None:
    call = Blocking()
    threads: list[Thread] = []

    async def next_visit() -> None:
        threads.append(await current_thread())

    async with ThreadPool(size=2, max_overflow=0) as pool:
        app = ThreadPoolMiddleware(visiting(sync_to_async(call)), pool=pool)
        async with stream(app) as exchange:
            await call.begins()
            exchange.cancel()
        # The request has ended, but its call has not. Other requests get the other thread.
        assert pool.statistics() == (1, 0, 0, 0)
        for _ in range(3):
            await request(ThreadPoolMiddleware(visiting(next_visit), pool=pool))
        assert len(set(threads)) == 1
        assert pool.statistics() == (1, 1, 0, 0)
        call.let_go.set()

        await until(lambda: pool.statistics() == (0, 2, 0, 0))
    assert caplog.records == []


async def test_a_call_that_is_cancelled_before_it_begins_is_not_made(pool: ThreadPool) -> None:
    first, second = Blocking(), Blocking()

    async def visit() -> None:
        running = asyncio.ensure_future(sync_to_async(first)())
        behind = asyncio.ensure_future(sync_to_async(second)())
        await first.begins()
        behind.cancel()
        await asyncio.wait([behind])
        first.let_go.set()
        await running
        await current_thread()

    await request(ThreadPoolMiddleware(visiting(visit), pool=pool))

    assert not second.begun.is_set()


async def test_a_task_that_outlives_its_request_has_a_thread_of_its_own(
    pool: ThreadPool,
) -> None:
    let_go = asyncio.Event()
    tasks: list[asyncio.Task[list[Thread]]] = []

    async def outliving() -> list[Thread]:
        threads = [await current_thread()]
        await let_go.wait()
        return [*threads, await current_thread(), await current_thread()]

    async def visit() -> None:
        tasks.append(asyncio.create_task(outliving()))
        await current_thread()

    await request(ThreadPoolMiddleware(visiting(visit), pool=pool))
    await until(lambda: pool.statistics() == (0, 1, 0, 0))
    let_go.set()
    of_request, first, second = await tasks[0]

    assert first is second
    assert first is not of_request
    assert pool.statistics() == (0, 1, 0, 0)
    del tasks[:]
    await until(lambda: gc.collect() >= 0 and not first.is_alive())


async def test_tasks_that_outlive_different_requests_share_no_thread(pool: ThreadPool) -> None:
    let_go = asyncio.Event()
    tasks: list[asyncio.Task[Thread]] = []

    async def outliving() -> Thread:
        await let_go.wait()
        return await current_thread()

    async def visit() -> None:
        tasks.append(asyncio.create_task(outliving()))

    for _ in range(20):
        await request(ThreadPoolMiddleware(visiting(visit), pool=pool))
    let_go.set()

    assert len(set(await asyncio.gather(*tasks))) == 20


# --- context variables, exceptions and leftovers ---

both = pytest.mark.parametrize("pooled", [False, True], ids=["plain", "pooled"])


async def served(visit_app: ASGIApp, pooled: bool, pool: ThreadPool) -> None:
    await request(ThreadPoolMiddleware(visit_app, pool=pool) if pooled else visit_app)


value: ContextVar[str] = ContextVar("value", default="")


@both
async def test_context_variables_go_down_into_a_call_and_come_back_up(
    pooled: bool, pool: ThreadPool
) -> None:
    seen: list[str] = []

    def function() -> None:
        seen.append(value.get())
        value.set("from below")

    async def visit() -> None:
        value.set("from above")
        await sync_to_async(function)()
        seen.append(value.get())

    await served(visiting(visit), pooled, pool)

    assert seen == ["from above", "from below"]


async def test_no_context_variable_stays_on_a_thread(pool: ThreadPool) -> None:
    seen: list[str] = []

    async def leaving() -> None:
        await sync_to_async(value.set)("left")

    async def looking() -> None:
        seen.append(await sync_to_async(value.get)())

    await request(ThreadPoolMiddleware(visiting(leaving), pool=pool))
    await request(ThreadPoolMiddleware(visiting(looking), pool=pool))

    assert seen == [""]


class Fatal(BaseException):
    pass


@both
@pytest.mark.parametrize("kind", [ValueError, Fatal], ids=lambda kind: kind.__name__)
async def test_an_exception_of_a_call_is_raised_where_it_is_awaited(
    kind: type[BaseException], pooled: bool, pool: ThreadPool
) -> None:
    error = kind("mine")
    seen: list[BaseException] = []

    def function() -> None:
        raise error

    async def visit() -> None:
        try:
            await sync_to_async(function)()
        except BaseException as raised:  # noqa: BLE001
            seen.append(raised)

    await served(visiting(visit), pooled, pool)

    assert seen == [error]


async def test_stop_iteration_becomes_an_error_that_a_coroutine_can_raise(
    pool: ThreadPool,
) -> None:
    # Before Python 3.12, asyncio alone waits forever.
    seen: list[BaseException] = []

    async def visit() -> None:
        try:
            await sync_to_async(next)(iter([]))
        except RuntimeError as raised:
            seen.append(raised)

    await request(ThreadPoolMiddleware(visiting(visit), pool=pool))

    assert isinstance(seen[0].__cause__, StopIteration)


@both
async def test_a_cancellation_reaches_async_code_below_sync_code(
    pooled: bool, pool: ThreadPool
) -> None:
    waits = asyncio.Event()
    seen: list[str] = []

    async def below() -> None:
        waits.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("below")
            raise

    async def visit() -> None:
        try:
            await sync_to_async(async_to_sync(below))()
        except asyncio.CancelledError:
            seen.append("above")
            raise

    app = visiting(visit)
    async with stream(ThreadPoolMiddleware(app, pool=pool) if pooled else app) as exchange:
        await waits.wait()
        exchange.cancel()

    assert seen == ["below", "above"]


@both
async def test_a_call_sees_the_exception_that_its_caller_is_handling(
    pooled: bool, pool: ThreadPool
) -> None:
    seen: list[BaseException | None] = []
    error = ValueError("mine")

    async def visit() -> None:
        try:
            raise error
        except ValueError:
            seen.append((await sync_to_async(sys.exc_info)())[1])

    await served(visiting(visit), pooled, pool)

    assert seen == [error]


@pytest.mark.parametrize("fails", [False, True])
async def test_nothing_of_a_request_stays_on_an_idle_thread(fails: bool, pool: ThreadPool) -> None:
    class Argument:
        pass

    references: list[weakref.ref[Argument]] = []

    def function(argument: Argument) -> None:
        if fails:
            raise ValueError("mine")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await hello(scope, receive, send)
        # This call, after the response, is the last one on the thread.
        argument = Argument()
        references.append(weakref.ref(argument))
        with suppress(ValueError):
            await sync_to_async(function)(argument)

    await request(ThreadPoolMiddleware(app, pool=pool))

    await until(lambda: gc.collect() >= 0 and references[0]() is None)
    assert pool.statistics() == (0, 1, 0, 0)


async def test_a_task_that_outlives_its_request_does_not_keep_its_messages(
    pool: ThreadPool,
) -> None:
    let_go = asyncio.Event()
    tasks: list[asyncio.Task[bool]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(asyncio.create_task(let_go.wait()))

    async def serve() -> weakref.ref[Any]:
        async def send(message: object) -> None:
            pass

        middleware: Any = ThreadPoolMiddleware(app, pool=pool)
        await middleware({"type": "http"}, None, send)
        return weakref.ref(send)

    reference = await serve()
    gc.collect()

    assert reference() is None
    let_go.set()
    await tasks[0]


async def test_an_exception_of_a_call_is_not_kept_by_a_reference_cycle(pool: ThreadPool) -> None:
    references: list[weakref.ref[ValueError]] = []

    class MineError(ValueError):
        pass

    def failing() -> None:
        error = MineError()
        references.append(weakref.ref(error))
        try:
            raise error
        finally:
            del error

    async def visit() -> None:
        # Without sync_to_async, whose own frames form cycles.
        context = SyncToAsync.thread_sensitive_context.get()
        lease: Any = SyncToAsync.context_to_thread_executor[context]
        with suppress(MineError):
            await lease.submit(failing)

    gc.disable()
    try:
        await request(ThreadPoolMiddleware(visiting(visit), pool=pool))
        await until(lambda: references[0]() is None)
    finally:
        gc.enable()


# --- calls below sync code ---


def test_below_sync_code_calls_run_on_the_callers_thread() -> None:
    # A test in Django's TestCase relies on this to see its own transaction.
    threads: list[Thread] = []
    pool = ThreadPool()

    async def visit() -> None:
        threads.append(await current_thread())

    async_to_sync(request)(ThreadPoolMiddleware(visiting(visit), pool=pool))

    assert threads == [threading.current_thread()]
    assert pool.statistics() == (0, 0, 0, 0)


# --- streams ---


class Stream:
    """An app that responds in parts, and waits before each part."""

    def __init__(self, *, first: str = "", then: str = "") -> None:
        self.waits = asyncio.Event()
        self.go_on = asyncio.Semaphore(0)
        self.threads: list[Thread] = []
        self._calls = (first, then)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await self._call()
        await send(START)
        for call in self._calls:
            if call:
                await self._call()
            self.waits.set()
            await self.go_on.acquire()
            await send({**BODY, "more_body": True})
        await self._call()
        await send(BODY)

    async def _call(self) -> None:
        self.threads.append(await current_thread())


async def test_a_stream_keeps_its_thread_to_its_end() -> None:
    app = Stream(first="call")
    others: list[Thread] = []

    async def visit() -> None:
        others.append(await current_thread())

    async with ThreadPool(size=2, max_overflow=0) as pool:
        async with stream(ThreadPoolMiddleware(app, pool=pool)) as exchange:
            exchange.send_body(b"", more_body=False)
            await app.waits.wait()
            for _ in range(2):
                await request(ThreadPoolMiddleware(visiting(visit), pool=pool))
                assert pool.statistics() == (1, 1, 0, 0)
                app.go_on.release()
            await until(lambda: len(app.threads) == 3)
        await until(lambda: pool.statistics() == (0, 2, 0, 0))

    assert len(set(app.threads)) == 1
    assert not set(app.threads) & set(others)


async def test_a_stream_that_has_made_no_sync_call_holds_no_thread(pool: ThreadPool) -> None:
    waits, go_on = asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(START)
        waits.set()
        await go_on.wait()
        await send(BODY)

    async with stream(ThreadPoolMiddleware(app, pool=pool)):
        await waits.wait()
        assert pool.statistics() == (0, 0, 0, 0)
        go_on.set()


# --- streams that give their thread back ---


@pytest.fixture
async def releasing() -> AsyncIterator[ThreadPool]:
    async with ThreadPool(size=1, max_overflow=0, streams="release") as pool:
        yield pool


async def test_a_stream_may_give_its_thread_back_between_its_calls(releasing: ThreadPool) -> None:
    app = Stream(first="call", then="call")

    async with stream(ThreadPoolMiddleware(app, pool=releasing)) as exchange:
        exchange.send_body(b"", more_body=False)
        for calls in (2, 3):
            await app.waits.wait()
            app.waits.clear()
            await until(lambda: releasing.statistics() == (0, 1, 0, 0))
            assert len(app.threads) == calls
            # Another request can have the only thread in between.
            await request(ThreadPoolMiddleware(visiting(current_thread), pool=releasing))
            app.go_on.release()
        await until(lambda: len(app.threads) == 4)


async def test_with_streams_release_a_view_still_keeps_its_thread_between_calls(
    releasing: ThreadPool,
) -> None:
    waits, go_on = asyncio.Event(), asyncio.Event()

    async def visit() -> None:
        await current_thread()
        waits.set()
        await go_on.wait()

    task = asyncio.create_task(request(ThreadPoolMiddleware(visiting(visit), pool=releasing)))
    await waits.wait()
    await asyncio.sleep(0)
    assert releasing.statistics() == (1, 0, 0, 0)
    go_on.set()
    await task


async def test_a_response_sent_without_a_pause_does_not_count_as_a_stream(
    releasing: ThreadPool,
) -> None:
    leased: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await current_thread()
        await sending(START, {**BODY, "more_body": True}, BODY)(scope, receive, send)
        await asyncio.sleep(0)
        leased.append(releasing.statistics().leased)

    async def at_once(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_at_once(message: object) -> None:
            pass

        await ThreadPoolMiddleware(app, pool=releasing)(scope, receive, send_at_once)
        await hello(scope, receive, send)

    await request(at_once)

    assert leased == [1]
