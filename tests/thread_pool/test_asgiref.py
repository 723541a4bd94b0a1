"""What the pool needs of asgiref and asyncio that they do not promise."""

import asyncio
import gc
import threading
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
            marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="there is no uvloop"),
        ),
    ],
)
def test_a_loop_takes_an_asyncio_future_from_an_executor_as_it_is(loop: str) -> None:
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


async def test_a_context_with_an_executor_bars_the_tasks_that_outlive_it() -> None:
    # When it no longer does, ThreadContext has nothing to do.
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


async def test_a_lease_is_forgotten_with_the_last_task_that_could_use_it() -> None:
    pool = ThreadPool()
    gc.collect()
    before = len(SyncToAsync.context_to_thread_executor)
    let_go = asyncio.Event()

    async def serve() -> "asyncio.Task[bool]":
        async with ThreadContext(SharedLease(pool), pool.own_thread):
            return asyncio.create_task(let_go.wait())

    outliving = await asyncio.create_task(serve())
    assert len(SyncToAsync.context_to_thread_executor) == before + 1
    let_go.set()
    await outliving
    del outliving
    await asyncio.sleep(0)  # the loop itself holds a task that it has just seen end
    gc.collect()

    assert len(SyncToAsync.context_to_thread_executor) == before


def test_async_to_sync_says_that_a_thread_waits() -> None:
    async def waiting() -> bool:
        return is_below_sync_code()

    assert async_to_sync(waiting)()
    assert not asyncio.run(waiting())
