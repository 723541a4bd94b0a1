"""Threads for sync code: their calls, their results and their end."""

import asyncio
import gc
import threading
import weakref
from contextvars import Context, ContextVar
from functools import partial
from threading import Thread

import pytest
from asgiref.sync import async_to_sync

from asgi_middleware._threads import Call, OwnThread, Worker, own_thread
from tests.thread_pool.calls import PATIENCE, Blocking, current_thread, until


class Thing:
    pass


async def test_a_worker_makes_its_calls_in_order() -> None:
    worker = Worker("worker")
    order: list[int] = []

    for number in range(100):
        assert worker.put(partial(order.append, number))
    worker.end()

    assert worker.join(PATIENCE)
    assert order == list(range(100))


async def test_a_worker_accepts_no_calls_after_its_end() -> None:
    worker = Worker("worker")
    worker.end()

    assert not worker.put(gc.collect)  # type: ignore[arg-type]
    assert worker.join(PATIENCE)


async def test_a_worker_keeps_no_reference_to_a_call_that_is_over() -> None:
    worker = Worker("worker")
    thing = Thing()
    reference = weakref.ref(thing)
    call = Call(partial(id, thing), asyncio.get_running_loop())
    del thing

    worker.put(call)
    await call.future
    del call

    await until(lambda: gc.collect() >= 0 and reference() is None)
    worker.end()


async def test_a_worker_survives_a_call_whose_future_is_cancelled() -> None:
    blocking = Blocking()
    worker = Worker("worker")
    call = Call(blocking, asyncio.get_running_loop())

    worker.put(call)
    await blocking.begins()
    call.future.cancel()
    blocking.let_go.set()
    worker.end()

    assert worker.join(PATIENCE)


def test_a_worker_survives_a_call_whose_event_loop_is_closed() -> None:
    blocking = Blocking()
    worker = Worker("worker")

    async def abandon() -> None:
        worker.put(Call(blocking, asyncio.get_running_loop()))
        await blocking.begins()

    asyncio.run(abandon())
    blocking.let_go.set()
    worker.end()

    assert worker.join(PATIENCE)


value: ContextVar[str] = ContextVar("value", default="none")


async def test_a_dedicated_thread_runs_a_call_in_a_copy_of_the_context() -> None:
    thread = OwnThread("own")
    value.set("here")

    assert await thread.run(value.get) == "here"
    await thread.run(partial(value.set, "there"))

    assert value.get() == "here"
    await thread.close()


async def test_a_dedicated_thread_does_not_start_before_its_first_call() -> None:
    before = set(threading.enumerate())
    thread = OwnThread("own")
    await thread.run_if_started(list)

    assert set(threading.enumerate()) <= before
    await thread.close()


async def test_a_dedicated_thread_starts_again_after_its_end() -> None:
    thread = OwnThread("own")
    first = await thread.run(threading.current_thread)
    await thread.close()
    second = await thread.run(threading.current_thread)
    await thread.close()

    assert first is not second
    await until(lambda: not first.is_alive() and not second.is_alive())


async def test_a_dedicated_thread_ends_when_its_last_reference_is_gone() -> None:
    thread = OwnThread("own")
    started: Thread = await thread.run(threading.current_thread)
    del thread

    await until(lambda: gc.collect() >= 0 and not started.is_alive())


async def test_closing_a_dedicated_thread_does_not_wait_for_a_call_that_is_stuck(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("asgi_middleware._threads._CLOSING_PATIENCE", 0.01)
    blocking = Blocking()
    thread = OwnThread("own")
    running = asyncio.ensure_future(thread.run(blocking))
    await blocking.begins()

    await thread.close()
    blocking.let_go.set()

    assert caplog.messages == [
        "a call in the thread 'own' is still running; no longer waiting for it"
    ]
    await running


async def test_sync_code_in_own_thread_runs_in_one_thread_that_ends_with_the_block() -> None:
    async with own_thread("own"):
        threads = [await current_thread(), await current_thread()]
        assert threads[0].is_alive()
    outside = await current_thread()

    assert threads[0] is threads[1]
    assert threads[0] is not outside
    await until(lambda: not threads[0].is_alive())


async def test_a_task_that_outlives_own_thread_gets_another_thread() -> None:
    let_go = asyncio.Event()

    async def outliving() -> Thread:
        await let_go.wait()
        return await current_thread()

    async with own_thread("own"):
        task = asyncio.create_task(outliving())
        within = await current_thread()
    let_go.set()

    assert await task is not within


def test_own_thread_below_async_to_sync_uses_the_thread_that_waits() -> None:
    async def within() -> Thread:
        async with own_thread("own"):
            return await current_thread()

    async def in_a_task_with_a_context_of_its_own() -> Thread:
        return await asyncio.create_task(within(), context=Context())

    assert async_to_sync(within)() is threading.current_thread()
    assert async_to_sync(in_a_task_with_a_context_of_its_own)() is threading.current_thread()
