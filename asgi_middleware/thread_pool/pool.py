"""The threads: how many there are, which are lent, and who waits for one."""

import atexit
import logging
import math
import os
import threading
from typing import TYPE_CHECKING, NamedTuple, Self
from weakref import WeakSet

from .._threads import WorkerThread
from ..errors import ConfigurationError
from .worker import Worker

if TYPE_CHECKING:
    from .lease import Lease

logger = logging.getLogger(__name__)


class ThreadPoolStatistics(NamedTuple):
    """Threads that are lent, have nothing to do, are beyond ``size``; and who waits for one."""

    leased: int
    idle: int
    overflow: int
    waiting: int


class ThreadPool:
    """Threads, each lent to one request at a time.

    * ``size``: how many stay, once they were needed.
    * ``max_overflow``: how many more there may be under load; they end after a second with
      nothing to do. None: no bound, as under plain Django.
    * ``timeout``: seconds that a request waits when all are lent. It is then answered 503,
      or its WebSocket closed with 1013 (Try Again Later).

    For ``ThreadPoolMiddleware(pool=pool)`` and ``LifespanMiddleware(lifespan=[pool])``. It is
    also an async context manager. At its end all threads have ended, and have closed their
    database connections; without one, that happens when the interpreter exits.

    Raises :class:`ConfigurationError` for numbers that cannot work.
    """

    def __init__(
        self, size: int = 8, *, max_overflow: int | None = None, timeout: float = 30.0
    ) -> None:
        problems: list[str] = []
        if not isinstance(size, int) or size < 1:
            problems.append(f"size: {size!r} keeps no thread; write 1 or more")
        if max_overflow is not None and (not isinstance(max_overflow, int) or max_overflow < 0):
            problems.append(f"max_overflow: {max_overflow!r}; write 0 or more, or None")
        if not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
            problems.append(f"timeout: {timeout!r}; write a number of seconds above 0")
        if problems:
            raise ConfigurationError("ThreadPool", problems)

        self.timeout = timeout
        self._size = size
        self._limit = math.inf if max_overflow is None else size + max_overflow
        self._entered = 0
        self._closed = False
        self._start_afresh()
        _pools.add(self)

    def _start_afresh(self) -> None:
        """Begin without a thread, as does a forked process, which has none of its parent's."""
        # All that changes in a pool and its leases changes under this lock, as event loops and
        # threads share them. Reentrant: the garbage collector may end a request at any point.
        self.lock = threading.RLock()
        # Who waits for a thread, in order of arrival.
        self.waiting: dict[Lease, None] = {}
        self._leased = 0
        # Last in, first out, so that those which are not needed are idle long enough to end.
        self._idle: list[Worker] = []
        self._idle_overflow: list[Worker] = []
        self._lasting = 0
        self._workers: set[Worker] = set()
        self._warned = False

    def __call__(self, _state: object) -> Self:
        """Return the pool: what ``LifespanMiddleware`` calls to get a context manager."""
        return self

    async def __aenter__(self) -> Self:
        with self.lock:
            self._entered += 1
            self._closed = False
        return self

    async def __aexit__(self, *_: object) -> None:
        with self.lock:
            self._entered -= 1
            if self._entered:  # another event loop uses it still
                return
        thread = WorkerThread("thread pool shutdown")
        try:
            await thread.run(self.close)
        finally:
            thread.end()

    def close(self) -> None:
        """End the threads, and wait for the calls that still run.

        Whoever needs a thread after that gets one that ends with the request.
        """
        with self.lock:
            self._closed = True
            for worker in (*self._idle, *self._idle_overflow):
                self._end(worker)
            self._idle.clear()
            self._idle_overflow.clear()
            workers = list(self._workers)
        for worker in workers:
            worker.thread.join()

    def statistics(self) -> ThreadPoolStatistics:
        """Return what the threads do at the moment."""
        with self.lock:
            idle = len(self._idle) + len(self._idle_overflow)
            overflow = self._leased + idle - self._lasting
            return ThreadPoolStatistics(self._leased, idle, overflow, len(self.waiting))

    # The rest is for leases and workers. They hold the lock, except where it is taken here.

    def lend(self) -> Worker | None:
        """Return a thread, None where all are lent and there may be no more."""
        if self._idle:
            worker = self._idle.pop()
        elif self._idle_overflow:
            worker = self._idle_overflow.pop()
        elif self._leased < self._limit:
            worker = Worker(self, lasts=self._lasting < self._size)
            self._workers.add(worker)
            self._lasting += worker.lasts
        else:
            return None
        self._leased += 1
        return worker

    def take_back(self, worker: Worker) -> None:
        """Lend *worker* to whoever has waited longest, or keep it, or let it end."""
        if self.waiting:
            lease = next(iter(self.waiting))
            del self.waiting[lease]
            return lease.granted(worker)
        self._warned = False
        self._leased -= 1
        if self._closed:
            self._end(worker)
        elif worker.lasts:
            self._idle.append(worker)
        else:
            self._idle_overflow.append(worker)

    def warn(self) -> None:
        """Log that somebody has waited in vain: once, until nobody has to wait any more."""
        if not self._warned:
            self._warned = True
            logger.warning(
                "no thread within %g s: all %d are lent, %d requests wait for one",
                self.timeout,
                self._leased,
                len(self.waiting),
            )

    def retire(self, worker: Worker) -> bool:
        """Let an overflow thread go, unless it has just been lent."""
        with self.lock:
            if worker not in self._idle_overflow:
                return False
            self._idle_overflow.remove(worker)
            return True

    def ended(self, worker: Worker) -> None:
        with self.lock:
            self._workers.discard(worker)

    def _end(self, worker: Worker) -> None:
        self._lasting -= worker.lasts
        worker.calls.put(None)


_pools: "WeakSet[ThreadPool]" = WeakSet()


@atexit.register
def _close_pools() -> None:
    for pool in _pools:
        pool.close()


def _start_pools_afresh() -> None:
    for pool in _pools:
        pool._start_afresh()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_pools_afresh)
