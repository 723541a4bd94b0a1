"""Behavior of asgiref and asyncio that the pool needs, but that they do not promise."""

import asyncio
import gc
import threading
import weakref
from contextvars import Context
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, ThreadSensitiveContext, async_to_sync

from asgi_middleware._threads import ThreadContext, is_below_sync_code
from asgi_middleware.thread_pool.lease import SharedLease
from asgi_middleware.thread_pool.pool import ThreadPool

from .calls import current_thread


@pytest.mark.parametrize(
    "loop",
    [
        "asyncio",
        pytest.param(
            "uvloop",
            marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="needs uvloop"),
        ),
    ],
)
def test_an_event_loop_returns_an_executors_asyncio_future_unchanged(loop: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        made: list[asyncio.Future[Any]] = []

        class Executor(SharedLease):
            def submit(self, *args: Any, **kwargs: Any) -> Any:
                made.append(super().submit(*args, **kwargs))
                return made[-1]

        pool = ThreadPool()
        future = loop.run_in_executor(Executor(pool), threading.current_thread)
        assert future is made[0]
        assert (await future).name == "thread pool socket"
        pool.close()

    import_module(loop).run(main())


async def test_asgirefs_context_bars_tasks_that_outlive_it_and_ours_does_not() -> None:
    # Once asgiref no longer bars them, ThreadContext is not needed.
    pool = ThreadPool()
    let_go = asyncio.Event()

    async def outliving() -> Any:
        await let_go.wait()
        return await current_thread()

    async with ThreadSensitiveContext(executor=SharedLease(pool)):
        barred = asyncio.create_task(outliving())
    async with ThreadContext(SharedLease(pool), pool.own_thread) as context:
        welcome = asyncio.create_task(outliving())
    let_go.set()

    with pytest.raises(RuntimeError, match="ThreadSensitiveContext has exited"):
        await barred
    assert (await welcome).name == "thread pool task"
    assert context in SyncToAsync.context_to_thread_executor
    pool.close()


async def test_a_lease_is_freed_with_the_last_task_that_could_use_it() -> None:
    pool = ThreadPool()
    leases: list[weakref.ref[SharedLease]] = []
    let_go = asyncio.Event()

    async def serve() -> "asyncio.Task[bool]":
        lease = SharedLease(pool)
        leases.append(weakref.ref(lease))
        async with ThreadContext(lease, afterwards=lambda: lease):
            return asyncio.create_task(let_go.wait())

    outliving = await asyncio.create_task(serve())
    gc.collect()
    assert leases[0]() is not None
    let_go.set()
    await outliving
    del outliving
    await asyncio.sleep(0)  # the event loop itself holds a task that has just ended
    gc.collect()

    assert leases[0]() is None


def test_a_context_that_the_garbage_collector_ends_raises_nothing() -> None:
    pool = ThreadPool()

    async def waiting() -> None:
        async with ThreadContext(SharedLease(pool), pool.own_thread):
            await asyncio.sleep(0)

    left = waiting()
    Context().run(left.send, None)
    left.close()


def test_code_below_async_to_sync_can_tell_that_a_thread_waits_for_it() -> None:
    async def waiting() -> bool:
        return is_below_sync_code()

    assert async_to_sync(waiting)()
    assert not asyncio.run(waiting())
