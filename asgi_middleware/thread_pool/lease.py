"""One request's claim to a thread, and the calls that it makes there."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from .housekeeping import renew_connections, without_thread

if TYPE_CHECKING:
    from .pool import ThreadPool
    from .worker import Worker


class NoThreadError(TimeoutError):
    """All threads were lent for too long."""


class Lease(Executor):
    """One request's claim to a thread of the pool; asgiref takes it for an executor.

    With *keeps* the thread of the first call stays to the end, otherwise for as long as
    there are calls that have not returned.
    """

    def __init__(self, pool: "ThreadPool", *, keeps: bool) -> None:
        self.calls = 0
        # Whether what is called now only tidies up: it waits for a thread as long as it takes.
        self.ending = False
        # Called when a call has waited too long; returns whether that ends the request.
        self.refuse: Callable[[], bool] | None = None
        self.pool = pool
        self._keeps = keeps
        self._holds = keeps  # false as well between two calls that a stream makes
        self._worker: Worker | None = None
        self._running = 0
        self._waiting: list[Call] = []
        self._tidy = True

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Return a future of asyncio's, not the kind that other executors return.

        ``loop.run_in_executor`` passes it on, and need not chain two of them for each call.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        # The first call may be Django's at the start of a request, one after the response's
        # last message Django's at the end.
        if self._keeps and (self.ending or not self.calls):
            instead = without_thread(function)
            if instead is not None:
                future.set_result(instead())
                return future
        call = Call(partial(function, *args, **kwargs), future, loop, self)
        with self.pool.lock:
            self.calls += 1
            self._holds = self._keeps
            if self._worker is None and (worker := self.pool.lend()):
                self._begin(worker)
            if self._worker is None:
                self._wait(call, loop)
            else:
                self._put(call, self._worker)
        return future

    def granted(self, worker: "Worker") -> None:
        """Make the calls that have waited. The lock is held."""
        self._begin(worker)
        for call in self._waiting:
            self._put(call, worker)
        self._waiting.clear()

    def returned(self) -> None:
        """Note that a call has returned."""
        with self.pool.lock:
            self._running -= 1
            self._settle()

    def pause(self) -> None:
        """Keep no thread until there is another call."""
        with self.pool.lock:
            self._holds = False
            self._settle()

    def end(self) -> None:
        """Keep no thread any more; a task that goes on has one for each call."""
        with self.pool.lock:
            self.ending = True
            self.refuse = None
            self._keeps = self._holds = False
            self._settle()

    def _begin(self, worker: "Worker") -> None:
        self._worker = worker
        worker.calls.put(renew_connections)

    def _put(self, call: "Call", worker: "Worker") -> None:
        self._running += 1
        # The last thing that Django does for a request is to close old connections.
        self._tidy = self._keeps and self.ending
        worker.calls.put(call)

    def _settle(self) -> None:
        """Give the thread back, unless it is kept or at work."""
        if self._worker is None or self._running or self._holds:
            return
        worker, self._worker = self._worker, None
        if not self._tidy:
            worker.calls.put(renew_connections)
        self.pool.take_back(worker)

    def _wait(self, call: "Call", loop: asyncio.AbstractEventLoop) -> None:
        self._waiting.append(call)
        self.pool.waiting[self] = None
        timer = loop.call_later(self.pool.timeout, self._timed_out, call)
        call.future.add_done_callback(partial(self._waited, call, timer))

    def _waited(self, call: "Call", timer: asyncio.TimerHandle, _: object) -> None:
        """Forget a call that has been made, was cancelled, or has waited too long."""
        timer.cancel()
        with self.pool.lock:
            if call in self._waiting:
                self._waiting.remove(call)
                if not self._waiting:
                    self.pool.waiting.pop(self, None)

    def _timed_out(self, call: "Call") -> None:
        with self.pool.lock:
            if call not in self._waiting or self.ending:
                return
            self.pool.warn()
        if self.refuse is None or not self.refuse():
            error = NoThreadError(f"no thread within {self.pool.timeout:g} s: all are lent")
            call.future.set_exception(error)


class Call:
    """A call of a sync function, and who waits for it."""

    __slots__ = ("_function", "_lease", "_loop", "future")

    def __init__(
        self,
        function: Callable[[], object],
        future: "asyncio.Future[Any]",
        loop: asyncio.AbstractEventLoop,
        lease: Lease,
    ) -> None:
        self.future = future
        self._function = function
        self._loop = loop
        self._lease = lease

    def __call__(self) -> None:
        result, error = None, None
        if not self.future.cancelled():
            result, error = _outcome(self._function)
        self._lease.returned()
        with suppress(RuntimeError):  # the loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(_tell, self.future, result, error)
        # This frame is in the traceback of the error, which must not lead back to the error.
        del self, result, error


def _outcome(function: Callable[[], object]) -> tuple[object, BaseException | None]:
    try:
        return function(), None
    except StopIteration as error:
        # No coroutine can raise one. Before Python 3.12 asyncio leaves who waits waiting.
        instead = RuntimeError("a sync function raised StopIteration")
        instead.__cause__ = error
        return None, instead
    except BaseException as error:  # noqa: BLE001 -- raised again where it is awaited
        return None, error


def _tell(future: "asyncio.Future[Any]", result: object, error: BaseException | None) -> None:
    if future.done():  # it was cancelled, or refused, meanwhile
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
