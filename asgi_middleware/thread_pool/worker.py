"""A thread of the pool."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from .._threads import close_django_connections

if TYPE_CHECKING:
    from .pool import ThreadPool

# Seconds that an overflow thread waits for another request before it ends.
_LINGER = 1.0


class Worker:
    """A thread that makes calls in turn. Unless it *lasts*, it ends when it is idle for long."""

    def __init__(self, pool: "ThreadPool", *, lasts: bool) -> None:
        self.calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self.lasts = lasts
        self._pool = pool
        # A daemon: Python waits for all others before it calls what is to end them.
        self.thread = threading.Thread(target=self._work, name="thread pool", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        try:
            while (call := self._next()) is not None:
                call()
                del call  # or it, and with it a request, would be kept until the next one
            close_django_connections()
        finally:
            self._pool.ended(self)

    def _next(self) -> Callable[[], None] | None:
        while True:
            try:
                return self.calls.get(timeout=None if self.lasts else _LINGER)
            except Empty:
                if self._pool.retire(self):
                    return None
