"""Threads for sync code: what ends them, what stays in them, and what comes back."""

import asyncio
import gc
import subprocess
import sys
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


async def test_a_worker_that_ends_takes_no_more_calls() -> None:
    worker = Worker("worker")
    worker.end()

    assert not worker.put(gc.collect)  # type: ignore[arg-type]
    assert worker.join(PATIENCE)


async def test_nothing_of_a_call_stays_in_its_thread() -> None:
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


async def test_a_result_that_nobody_awaits_any_more_does_no_harm() -> None:
    blocking = Blocking()
    worker = Worker("worker")
    call = Call(blocking, asyncio.get_running_loop())

    worker.put(call)
    await blocking.begins()
    call.future.cancel()
    blocking.let_go.set()
    worker.end()

    assert worker.join(PATIENCE)


def test_a_result_for_a_loop_that_is_closed_does_no_harm() -> None:
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


async def test_a_thread_of_its_own_runs_a_call_in_a_copy_of_the_context() -> None:
    thread = OwnThread("own")
    value.set("here")

    assert await thread.run(value.get) == "here"
    await thread.run(partial(value.set, "there"))

    assert value.get() == "here"
    await thread.close()


async def test_a_thread_of_its_own_starts_with_its_first_call() -> None:
    before = threading.active_count()
    thread = OwnThread("own")
    await thread.run_if_started(list)

    assert threading.active_count() == before
    await thread.close()


async def test_a_thread_of_its_own_starts_again_after_its_end() -> None:
    thread = OwnThread("own")
    first = await thread.run(threading.current_thread)
    await thread.close()
    second = await thread.run(threading.current_thread)
    await thread.close()

    assert first is not second
    await until(lambda: not first.is_alive() and not second.is_alive())


async def test_a_thread_that_nobody_can_call_any_more_ends() -> None:
    thread = OwnThread("own")
    started: Thread = await thread.run(threading.current_thread)
    del thread

    await until(lambda: gc.collect() >= 0 and not started.is_alive())


async def test_closing_does_not_wait_for_a_call_that_is_stuck(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("asgi_middleware._threads._CLOSING_PATIENCE", 0.01)
    blocking = Blocking()
    thread = OwnThread("own")
    running = asyncio.ensure_future(thread.run(blocking))
    await blocking.begins()

    await thread.close()
    blocking.let_go.set()

    assert caplog.messages == ["a call in the thread 'own' goes on; nobody waits for it"]
    await running


async def test_sync_code_within_it_has_a_thread_of_its_own_that_ends_with_it() -> None:
    async with own_thread("own"):
        threads = [await current_thread(), await current_thread()]
        assert threads[0].is_alive()
    outside = await current_thread()

    assert threads[0] is threads[1]
    assert threads[0] is not outside
    await until(lambda: not threads[0].is_alive())


async def test_a_task_that_outlives_it_has_another() -> None:
    let_go = asyncio.Event()

    async def outliving() -> Thread:
        await let_go.wait()
        return await current_thread()

    async with own_thread("own"):
        task = asyncio.create_task(outliving())
        within = await current_thread()
    let_go.set()

    assert await task is not within


def test_below_async_to_sync_the_thread_that_waits_makes_the_calls() -> None:
    async def within() -> Thread:
        async with own_thread("own"):
            return await current_thread()

    async def in_a_task_with_a_context_of_its_own() -> Thread:
        return await asyncio.create_task(within(), context=Context())

    assert async_to_sync(within)() is threading.current_thread()
    assert async_to_sync(in_a_task_with_a_context_of_its_own)() is threading.current_thread()


EXITING = """
import asyncio, threading
from asgiref.sync import sync_to_async
from asgi_middleware import ThreadPool, ThreadPoolMiddleware
from asgi_middleware._threads import own_thread
from asgi_middleware.testing import request

waits = threading.Event()

async def app(scope, receive, send):
    await sync_to_async(list)()
    waits.set()
    await asyncio.sleep(3600)

async def task():
    async with own_thread("own"):
        await sync_to_async(list)()
        waits.set()
        await asyncio.sleep(3600)

request_app = ThreadPoolMiddleware(app)
"""

# Each leaves a thread that somebody still counts on.
ENDS = {
    "a loop in a daemon thread, a request": """
threading.Thread(target=asyncio.run, args=(request(request_app),), daemon=True).start()
waits.wait(30)
""",
    "a loop in a daemon thread, a task": """
threading.Thread(target=asyncio.run, args=(task(),), daemon=True).start()
waits.wait(30)
""",
    "a loop that is abandoned, a request": """
loop = asyncio.new_event_loop()
pending = loop.create_task(request(request_app, timeout=3600))
while not waits.is_set():
    loop.run_until_complete(asyncio.sleep(0.01))
pending._log_destroy_pending = False
""",
    "a loop that is closed, a request that waits for the place of another": """
pool = ThreadPool(1, max_overflow=0)
waiting = ThreadPoolMiddleware(app, pool=pool)
loop = asyncio.new_event_loop()
tasks = [loop.create_task(request(waiting, timeout=3600)) for _ in range(3)]
while not waits.is_set() or pool.statistics().waiting < 2:
    loop.run_until_complete(asyncio.sleep(0.01))
loop.close()
del tasks
""",
    "a loop that is closed, a socket": """
async def scope_of_socket():
    asyncio.create_task(request_app({"type": "websocket"}, None, None))
    while not waits.is_set():
        await asyncio.sleep(0.01)
asyncio.run(scope_of_socket())
""",
}


@pytest.mark.process
@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())
def test_the_interpreter_exits(end: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"{EXITING}{end}print('the end')"],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )

    assert (done.returncode, done.stdout) == (0, "the end\n")


STUCK = """
import asyncio, threading
from asgiref.sync import sync_to_async
from asgi_middleware import _threads

_threads.EXIT_PATIENCE = 0.1
begun = threading.Event()

def stuck():
    begun.set()
    threading.Event().wait()

worker = _threads.Worker("worker")
worker.put(stuck)
begun.wait(30)
print("the end")
"""


@pytest.mark.process
def test_the_interpreter_exits_although_a_call_is_stuck() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STUCK],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )

    assert (done.returncode, done.stdout) == (0, "the end\n")
    assert "a call goes on in a thread at exit" in done.stderr


@pytest.mark.process
def test_a_call_that_runs_at_exit_is_made_to_its_end() -> None:
    code = """
import time
from asgi_middleware._threads import Worker
worker = Worker("worker")
worker.put(lambda: (time.sleep(0.2), print("made")))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE
    )

    assert done.stdout == "made\n"
