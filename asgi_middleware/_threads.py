"""Threads for sync code, and the way back from a thread to the event loop.

What you can rely on:

* A :class:`Worker` makes its calls one at a time and in order, in one thread. As it ends, it
  closes the database connections that Django opened there.
* A call leaves nothing behind in its thread: no argument, result, error or context variable.
* A result gets back to the loop only through a :class:`Call`. It does no harm if the loop is closed
  by then, or if nobody awaits the future any more.
* The interpreter always exits. At exit, the workers have ten seconds to finish the calls that
  they have accepted.

asgiref passes the calls of ``sync_to_async`` to an executor. :class:`ThreadContext` decides which
executor that is:
https://docs.djangoproject.com/en/stable/topics/async/#async-adapter-functions
"""

import asyncio
import atexit
import logging
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from contextlib import asynccontextmanager, suppress
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from asgiref.sync import AsyncToSync, SyncToAsync, ThreadSensitiveContext

from ._django import close_connections

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Seconds that a worker with `retire` waits for another call before it asks whether to end.
LINGER = 1.0
# Seconds that all calls together have to finish when the interpreter exits.
EXIT_PATIENCE = 10.0
# Seconds that `OwnThread.close` waits for the thread to close its connections.
_CLOSING_PATIENCE = 1.0


class Worker:
    """A thread that makes calls in turn, until :meth:`end`.

    * ``retire``: called in the thread after each second without a call; the thread ends if it
      returns True. By default, the thread waits forever.
    * ``ended``: the last function called in the thread.

    It is a daemon thread, because at exit Python waits for all other threads before it runs
    ``_end_workers``, which ends this one.
    """

    def __init__(
        self,
        name: str,
        *,
        retire: "Callable[[Worker], bool] | None" = None,
        ended: "Callable[[Worker], object] | None" = None,
    ) -> None:
        self.is_ending = False
        self._retire = retire
        self._ended = ended
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # Reentrant: the garbage collector may end a worker at any point.
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        if _is_exiting:
            raise RuntimeError("cannot start a thread while the interpreter exits")
        _workers[self] = None
        try:
            self._thread.start()
        except RuntimeError:  # the system has no more threads
            del _workers[self]
            raise

    def put(self, call: Callable[[], None]) -> bool:
        """Queue *call*. Return False if the worker was told to end."""
        with self._lock:
            if not self.is_ending:
                self._calls.put(call)
            return not self.is_ending

    def end(self) -> None:
        """End the thread after the queued calls."""
        with self._lock:
            if not self.is_ending:
                self.is_ending = True
                self._calls.put(None)

    def post(self, call: "Callable[[], None] | None") -> None:
        """Queue *call*, or None to end, without a lock: for finalizers, which may run anywhere.

        The call may never be made if the worker was told to end.
        """
        self._calls.put(call)

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread to end, and return whether it has ended."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            while (call := self._next()) is not None:
                call()
                del call  # otherwise it would keep its request alive until the next call
            close_connections()
        finally:
            _workers.pop(self, None)
            if self._ended is not None:
                self._ended(self)

    def _next(self) -> Callable[[], None] | None:
        while True:
            try:
                return self._calls.get(timeout=LINGER if self._retire else None)
            except Empty:
                if self._retire is not None and self._retire(self):
                    return None


class Call:
    """A call of a sync function in a thread, and the future that gets its result.

    *returned* is called in the thread, before the future gets the result.
    """

    __slots__ = ("_function", "_loop", "_returned", "future")

    def __init__(
        self,
        function: Callable[[], object],
        loop: asyncio.AbstractEventLoop,
        returned: Callable[[], object] | None = None,
    ) -> None:
        self.future: asyncio.Future[Any] = loop.create_future()
        self._function = function
        self._loop = loop
        self._returned = returned

    def __call__(self) -> None:
        result, error = None, None
        if not self.future.cancelled():
            result, error = _outcome(self._function)
        if self._returned is not None:
            self._returned()
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(_resolve, self.future, result, error)
        # The traceback of the error contains this frame, so the frame must not hold the error.
        del self, result, error


def _outcome(function: Callable[[], object]) -> tuple[object, BaseException | None]:
    try:
        return function(), None
    except StopIteration as error:
        # A future refuses a StopIteration. Before Python 3.12, its awaiter would wait forever.
        instead = RuntimeError("a sync function raised StopIteration")
        instead.__cause__ = error
        return None, instead
    except BaseException as error:  # noqa: BLE001 -- raised again where it is awaited
        return None, error


def _resolve(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if future.done():  # it was cancelled or refused in the meantime
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class OwnThread(Executor):
    """A thread that nobody else uses: it starts with the first call and ends with :meth:`end`.

    The thread also ends when this object is garbage-collected. A call after :meth:`end` starts
    another thread. *started* is called with each new :class:`Worker`.
    """

    def __init__(self, name: str, started: Callable[[Worker], object] | None = None) -> None:
        self._name = name
        self._started = started
        self._worker: Worker | None = None
        self._lock = threading.Lock()

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Return an asyncio future, which ``loop.run_in_executor`` returns unchanged."""
        call = Call(partial(function, *args, **kwargs), asyncio.get_running_loop())
        with self._lock:
            if self._worker is None or not self._worker.put(call):
                self._worker = Worker(self._name)
                self._worker.put(call)
                if self._started is not None:
                    self._started(self._worker)
        return call.future

    async def run(self, function: Callable[[], T]) -> T:
        """Call *function* in the thread, in a copy of our context.

        If this is cancelled, it ends at once, but a call that has started runs to its end.
        """
        result: T = await self.submit(copy_context().run, function)
        return result

    async def run_if_started(self, function: Callable[[], object]) -> None:
        """Call *function* in the thread, if the thread has started."""
        if self._worker is not None:
            await self.run(function)

    def end(self) -> None:
        """End the thread after the queued calls."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.end()

    async def close(self) -> None:
        """End the thread; wait at most a second for it to close its connections."""
        try:
            async with asyncio.timeout(_CLOSING_PATIENCE):
                await self.run_if_started(close_connections)
        except TimeoutError:
            logger.warning(
                "a call in the thread %r is still running; no longer waiting for it", self._name
            )
        finally:
            self.end()

    def __del__(self) -> None:
        if self._worker is not None:
            self._worker.post(None)


class ThreadContext(ThreadSensitiveContext):
    """A context in which asgiref passes each thread-sensitive call to *executor*.

    Tasks that outlive the context can still make calls, as they can with the context that Django
    creates. Those calls go to the executor that *afterwards* returns.
    """

    def __init__(self, executor: Executor, afterwards: Callable[[], Executor]) -> None:
        super().__init__(executor=executor)
        self._afterwards = afterwards

    async def __aexit__(self, *error: object) -> None:
        with suppress(ValueError):  # the garbage collector ends it, in another context
            await super().__aexit__(*error)  # type: ignore[no-untyped-call]
        # asgiref refuses calls after the end of a context with an executor. No option changes that.
        self._exited = False
        self._executor = self._afterwards()
        SyncToAsync.context_to_thread_executor[self] = self._executor


@asynccontextmanager
async def own_thread(name: str) -> AsyncGenerator[None]:
    """A context whose sync code runs in a thread that nobody else uses and that ends with it.

    The thread closes its database connections as it ends. Below ``async_to_sync``, as in a test,
    the waiting thread makes the calls as usual, even those of a task with a context of its own.
    """
    if has_waiting_thread():
        yield
        return
    thread = OwnThread(name)
    try:
        async with ThreadContext(thread, partial(OwnThread, name)):
            yield
    finally:
        await thread.close()


def is_below_sync_code() -> bool:
    """Tell whether a thread that waits for us in ``async_to_sync`` makes our sync calls.

    This is how an async test of Django's ``TestCase`` sees its own transaction.
    """
    # asgiref has no public name for this, and hides it inside a context with an executor.
    return getattr(AsyncToSync.executors, "current", None) is not None


def needs_no_tidying() -> bool:
    """Tell whether this request has no thread yet, or an executor that tidies its connections.

    Such an executor has an attribute with the name of this function.
    """
    if is_below_sync_code():
        return False
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is None:
        return False
    executor = SyncToAsync.context_to_thread_executor.get(context)
    return executor is None or getattr(executor, "needs_no_tidying", False)


def has_waiting_thread() -> bool:
    """Tell whether a thread waits for this loop, even if this task has a context of its own."""
    # asgiref has no public name for this either.
    return is_below_sync_code() or asyncio.get_running_loop() in AsyncToSync.loop_thread_executors


# The workers whose threads run. Not a set, which cannot be copied while another thread adds to it.
_workers: dict[Worker, None] = {}


# Whether workers have been told to end for good.
_is_exiting = False


def is_exiting() -> bool:
    """Tell whether the interpreter exits, when a new thread could make it hang."""
    return _is_exiting


@atexit.register
def _end_workers() -> None:
    global _is_exiting  # noqa: PLW0603
    _is_exiting = True
    workers = list(_workers)
    for worker in workers:
        worker.end()
    deadline = time.monotonic() + EXIT_PATIENCE
    for worker in workers:
        if not worker.join(max(0.0, deadline - time.monotonic())):
            logger.warning(
                "a call is still running in a thread at exit; the process no longer waits for it"
            )
            return


if hasattr(os, "register_at_fork"):
    # A forked process has none of its parent's threads, and their locks may be held forever.
    os.register_at_fork(after_in_child=_workers.clear)
