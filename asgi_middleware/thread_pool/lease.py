"""The executors that asgiref uses: one for each request, and one for each WebSocket."""

import asyncio
import logging
import math
import time
from collections import deque
from concurrent.futures import Executor
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from .._django import route_of, without_thread
from .._paths import path_below_root
from .._threads import Call, Worker
from ..types import Scope
from .pool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("asgi_middleware.thread_pool")

# Seconds that the end of a request waits for the pool's lock, which is held for microseconds.
_PATIENCE = 1.0
# A request that waits for nothing makes its next call within this many turns of the event loop.
_STEPS = 20
# A path in a log line is cut after this many characters.
_LONGEST_PATH = 200


class NoThreadError(TimeoutError):
    """No thread became free in time."""


class RequestLease(Executor):
    """A request's claim to a thread: lent at its first call, and kept until :meth:`end`."""

    def __init__(self, pool: ThreadPool, scope: Scope) -> None:
        # The three attributes of a Claim, which the pool sets.
        self.worker: Worker | None = None
        self.has_place = False
        self.since = 0.0
        # Whether the response has started.
        self.has_started = False
        # The number of calls so far.
        self.calls = 0
        # Whether further calls only end the request. Those wait for as long as it takes.
        self.is_ending = False
        # Called when a call has waited too long; returns whether that ends the request.
        self.refuse: Callable[[], bool] | None = None
        self._pool = pool
        self._scope: Scope | None = scope
        self._ended_as = "a request"
        self._running = 0
        self._waiting: list[Call] = []
        # Whether the thread goes back as soon as no call runs: the request has ended, or is a
        # stream that releases its thread.
        self._gives_back = False

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Return an asyncio future, unlike other executors.

        ``loop.run_in_executor`` passes it on as it is, which saves a second future for each call.
        """
        loop = asyncio.get_running_loop()
        # The first call, and the calls after the last message of the response, may be Django's own,
        # which need no thread. While a call runs, they wait for it: it may still read the body.
        if (self.is_ending or not self.calls) and not self._running:
            instead = without_thread(function)
            if instead is not None:
                future: asyncio.Future[Any] = loop.create_future()
                future.set_result(instead())
                return future
        call = Call(partial(function, *args, **kwargs), loop, self._returned)
        with self._pool.lock:
            self.calls += 1
            # A request that is ending skips the queue, so that it gives its thread back sooner.
            if (self.is_ending and self._has_thread()) or self._pool.take_place(self):
                self._put(call)
            else:
                self._wait(call, loop)
        return call.future

    def granted(self) -> None:
        """Make the calls that have waited. The caller holds the lock."""
        for call in self._waiting:
            self._put(call)
        self._waiting.clear()

    def describe(self) -> str:
        """Return the method and the path, and the URL pattern if it differs from the path."""
        if self._scope is None:
            return f"{self._ended_as}, whose client has gone,"
        path = path_below_root(self._scope)
        route = route_of(path)
        pattern = f" ({route})" if route not in (None, path) else ""
        method = quote(self._scope.get("method", "-"), errors="replace")
        return f"{method[:20]} {quote(path, errors='replace')[:_LONGEST_PATH]}{pattern}"

    @property
    def is_calling(self) -> bool:
        """Whether a call runs in the thread."""
        return self._running > 0

    @property
    def needs_no_tidying(self) -> bool:
        """Whether the pool tidies the connections. While a call runs, Django does so after it."""
        return not self._running

    def give_up_place(self) -> None:
        """Stop counting as at work until :meth:`resume`: the running call waits for the client."""
        with self._pool.lock:
            self._pool.give_up_place(self)

    def resume(self) -> None:
        with self._pool.lock:
            if self._running and not self.has_place:
                self._pool.resume(self)

    @property
    def is_streaming(self) -> bool:
        """Whether the response has started but is not complete."""
        return self.has_started and not self.is_ending

    def release_stream(self) -> None:
        """Give the thread back between calls, unless the response is complete."""
        if self.is_streaming:
            with self._pool.lock:
                self._gives_back = True
                self._settle()

    def end(self) -> None:
        """Give the thread back once no call runs."""
        # The garbage collector may also end a request, in a thread for which the lock's holder
        # waits.
        if not self._pool.lock.acquire(timeout=_PATIENCE):
            if self.worker is not None:
                self.worker.post(self.end)
            return
        try:
            self.is_ending = self._gives_back = True
            if self._running:  # a sync call that nobody waits for any more
                self._ended_as = self.describe()
            self.refuse = self._scope = None
            self._settle()
        finally:
            self._pool.lock.release()

    def _has_thread(self) -> bool:
        return self.worker is not None and not self.worker.is_ending

    def _put(self, call: Call) -> None:
        assert self.worker is not None  # noqa: S101 -- for the type checker
        self._running += 1
        self.worker.put(call)

    def _returned(self) -> None:
        with self._pool.lock:
            self._running -= 1
            self._settle()

    def _settle(self) -> None:
        if self._running:
            return
        if self._gives_back:
            if not self._waiting:
                self._pool.leave(self)
        else:
            self._pool.rest(self)

    def _wait(self, call: Call, loop: asyncio.AbstractEventLoop) -> None:
        self._waiting.append(call)
        call.future.add_done_callback(partial(self._stop_waiting, call))
        self._look_later(call, loop, loop.time() + self._pool.timeout)

    def _look_later(self, call: Call, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        left = deadline - loop.time()
        interval = self._pool.look_interval
        delay = min(interval, left) if left > 0 else interval
        loop.call_later(delay, self._look, call, loop, deadline)

    def _look(self, call: Call, loop: asyncio.AbstractEventLoop, deadline: float) -> None:
        """Look for requests that rest, and check whether *call* has waited too long."""
        with self._pool.lock:
            if call not in self._waiting:
                return
            if self._pool.may_look_for_rest():
                self._look_for_rest(loop, _STEPS, time.monotonic())
            if self.is_ending or loop.time() < deadline:
                self._look_later(call, loop, deadline)
                return
            warning = self._pool.warning()
        if warning is not None:
            logger.warning("%s", warning)
        if self.refuse is not None and self.refuse():
            # The call may still be awaited, so it keeps waiting. It also keeps looking for requests
            # that rest, which helps others.
            self._look_later(call, loop, math.inf)
        elif not call.future.done():
            error = NoThreadError(f"no thread became free within {self._pool.timeout:g} s")
            call.future.set_exception(error)

    def _look_for_rest(self, loop: asyncio.AbstractEventLoop, steps: int, begun: float) -> None:
        """Take the places of requests that still rest after some turns of the loop.

        On a busy loop, some requests only seem to rest: they make their next call within those
        turns.
        """
        if steps:
            loop.call_soon(self._look_for_rest, loop, steps - 1, begun)
            return
        with self._pool.lock:
            self._pool.park(begun)

    def _stop_waiting(self, call: Call, _: object) -> None:
        """Forget a call that has been made, was cancelled, or has waited too long."""
        with self._pool.lock:
            if call in self._waiting:
                self._waiting.remove(call)
                if not self._waiting:
                    self._pool.stop_waiting(self)
                self._settle()


class SharedLease(Executor):
    """A WebSocket's claim to a thread, which makes all its calls.

    Other long-lived scopes, such as a lifespan, have one too. The thread is given up once nothing
    can make a call any more, including tasks that outlive the WebSocket.
    """

    def __init__(self, pool: ThreadPool) -> None:
        self.worker: Worker | None = None
        self._pool = pool
        self._stuck: Worker | None = None
        self._running = 0
        self._waiting: deque[Call] = deque()

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Return an asyncio future, as :meth:`RequestLease.submit` does."""
        loop = asyncio.get_running_loop()
        call = Call(partial(function, *args, **kwargs), loop, self._returned)
        with self._pool.lock:
            self._waiting.append(call)
            if self.worker is None or not self.worker.put(self._next_in(self.worker)):
                self.move(self._pool.shared.join(self))
        return call.future

    def move(self, worker: Worker) -> None:
        """Let *worker* make the calls that wait. The caller holds the lock."""
        self.worker = worker
        for _ in self._waiting:
            worker.put(self._next_in(worker))

    @property
    def is_calling(self) -> bool:
        """Whether a call runs in the thread."""
        return self._running > 0

    def give_up_place(self) -> None:
        """Keep new users off the thread until :meth:`resume`: its call waits for the client."""
        with self._pool.lock:
            self._stuck = self.worker
            if self._stuck is not None:
                self._pool.shared.get_stuck(self._stuck)

    def resume(self) -> None:
        with self._pool.lock:
            if self._stuck is not None:
                self._pool.shared.get_loose(self._stuck)

    def _next_in(self, worker: Worker) -> "Callable[[], None]":
        return partial(self._make_next_call, worker)

    def _make_next_call(self, worker: Worker) -> None:
        with self._pool.lock:
            if worker is not self.worker or not self._waiting:
                return  # this lease has moved to another worker
            call = self._waiting.popleft()
            self._running += 1
            self._pool.shared.begin(self)
        call()

    def _returned(self) -> None:
        with self._pool.lock:
            self._running -= 1

    def __del__(self) -> None:
        # Without a lock: the garbage collector may run this anywhere.
        if self.worker is not None:
            self.worker.post(partial(self._pool.leave_shared, self.worker))
