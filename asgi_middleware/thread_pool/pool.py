"""The threads: how many there are, who has one, and who waits for one.

What you can rely on:

* **A request keeps its thread** from its first sync call to its end. No other code runs there in
  the meantime.
* **Requests share threads only with requests**, one after another. WebSockets share threads with
  WebSockets, and each stays on one thread. A task that outlives its request has a thread of its
  own.
* **Connections are tidied before and after a request**, never between two of its calls: closing a
  connection there would lose whatever is attached to it.
* **The bound counts requests at work.** A stream between its calls, and a request that has made no
  call for half a second, keep their threads but give their places to others. So a client that does
  not read holds nobody up.
* **Requests wait in order of arrival**, up to ``timeout``. Calls that end a request are never
  refused, and neither are WebSockets and tasks.
* **No reference to a request outlives it**, and the interpreter always exits (``_threads``).

A request's claim to a thread goes through these states. The bound counts places.

============  ==========  ==========  ==============================================
state         has thread  has place   left by
============  ==========  ==========  ==============================================
new           no          no          a call: at work if there is a place, or waiting
waiting       maybe       no          a place becomes free: at work
at work       yes         yes         its last call returns: resting
resting       yes         yes         a call: at work; another request waits, and this one is a
                                      stream or has rested for long: parked
parked        yes         no          a call: at work if there is a place, or waiting
any of these                          the end of the request: gone
============  ==========  ==========  ==============================================
"""

import math
import os
import threading
import time
from typing import Literal, NamedTuple, Protocol, Self
from weakref import WeakSet

from .. import _options as options
from .._django import renew_connections
from .._threads import OwnThread, Worker, is_exiting
from .shared import SharedThreads

# Seconds without a call after which a request gives its place to one that waits; at most a quarter
# of the pool's timeout.
REST = 0.5
# How many requests one log line names.
_NAMED = 10
_NAME = "thread pool"


class ThreadPoolStatistics(NamedTuple):
    """The numbers of requests and their threads at one moment.

    In this order: requests that have a thread, threads with nothing to do, threads beyond ``size``,
    and requests that wait for a place.
    """

    leased: int
    idle: int
    overflow: int
    waiting: int


class Claim(Protocol):
    """A request, as the pool sees it. It changes only under the pool's lock."""

    worker: Worker | None
    has_place: bool
    since: float
    """When it was lent its thread, on the clock of ``time.monotonic``."""

    @property
    def is_streaming(self) -> bool: ...

    def granted(self) -> None:
        """Make the calls that have waited."""

    def describe(self) -> str:
        """Return the method and the route, for logs."""
        ...


class ThreadPool:
    """Threads for Django's sync code, each lent to one request at a time.

        pool = ThreadPool(size=8, max_overflow=8)

    * ``size``: how many threads are kept once they have started. WebSockets have up to the same
      number of their own.
    * ``max_overflow``: how many more requests may be at work under load. The threads beyond
      ``size`` end after a second with nothing to do. None: no bound, as under plain Django.
    * ``timeout``: seconds that a request waits for its turn. After that, it gets a 503.
    * ``streams``: ``"keep"``, or ``"release"`` to give a stream's thread back between its calls.
      **With "release", other requests find what a stream leaves on its thread or database
      connection, and the stream finds what they leave.**

    Pass it to both ``ThreadPoolMiddleware(pool=pool)`` and ``LifespanMiddleware(lifespan=[pool])``.
    It is also an async context manager; when it exits, every thread has ended and has closed its
    database connections.

    Raises :class:`ConfigurationError` for options that cannot work.
    """

    def __init__(
        self,
        size: int = 8,
        *,
        max_overflow: int | None = None,
        timeout: float = 30.0,
        streams: Literal["keep", "release"] = "keep",
    ) -> None:
        options.check(
            "ThreadPool",
            options.whole_number("size", size, 1, example=8),
            options.whole_number("max_overflow", max_overflow, 0, example=8, optional=True),
            options.seconds("timeout", timeout, example=30.0),
            options.choice("streams", streams, ("keep", "release")),
        )
        self.timeout = timeout
        self._rest_time = min(REST, timeout / 4)
        self.look_interval = self._rest_time / 20
        self.releases_streams = streams == "release"
        self._size = size
        self._max_overflow = max_overflow
        self._streams = streams
        self._limit = math.inf if max_overflow is None else size + max_overflow
        self._start_afresh()
        _pools.add(self)

    def _start_afresh(self) -> None:
        """Begin without threads. A forked process must, because it has none of its parent's."""
        # Everything in a pool and its leases changes under this lock, because event loops and
        # threads share them. Reentrant: the garbage collector may end a request at any point.
        self.lock = threading.RLock()
        self._entered = 0
        self._closed = False
        self.shared = SharedThreads(self._size)
        self._holders: dict[Claim, None] = {}
        # The requests that wait, in order of arrival.
        self._waiting: dict[Claim, None] = {}
        # The requests that rest, and since when; the longest first.
        self._resting: dict[Claim, float] = {}
        self._looked_at = 0.0
        self._places_taken = 0
        # Last in, first out, so that threads that are not needed are idle long enough to end.
        self._idle: list[Worker] = []
        self._idle_overflow: list[Worker] = []
        self._lasting: set[Worker] = set()
        self._workers: set[Worker] = set()
        self._outliving: WeakSet[Worker] = WeakSet()
        self._exhausted_since: float | None = None
        self._has_warned = False

    def __repr__(self) -> str:
        return (
            f"ThreadPool(size={self._size}, max_overflow={self._max_overflow},"
            f" timeout={self.timeout:g}, streams={self._streams!r})"
        )

    def __call__(self, _state: object) -> Self:
        """Return the pool; ``LifespanMiddleware`` calls it to get a context manager."""
        return self

    async def __aenter__(self) -> Self:
        with self.lock:
            self._entered += 1
            if self._closed:
                self._closed = False
                self.shared.reopen(self._size)
        return self

    async def __aexit__(self, *_: object) -> None:
        with self.lock:
            self._entered -= 1
            if self._entered:  # another event loop still uses it
                return
        thread = OwnThread("thread pool shutdown")
        try:
            await thread.run(self.close)
        finally:
            thread.end()

    def close(self) -> None:
        """End the threads, and wait for the calls that run.

        A request or a WebSocket that needs a thread after that gets one that ends with it.
        """
        with self.lock:
            self._closed = True
            workers = [*self._workers, *self.shared.close(), *self._outliving]
            for worker in workers:
                worker.end()
            self._idle.clear()
            self._idle_overflow.clear()
            self._lasting.clear()
        for worker in workers:
            worker.join()

    def statistics(self) -> ThreadPoolStatistics:
        """Return the numbers of requests and their threads at this moment."""
        with self.lock:
            leased, idle = len(self._holders), len(self._idle) + len(self._idle_overflow)
            overflow = max(0, leased + idle - len(self._lasting))
            return ThreadPoolStatistics(leased, idle, overflow, len(self._waiting))

    async def check(self) -> None:
        """Raise TimeoutError while no place has become free for more than ``timeout`` seconds.

        For ``HealthMiddleware(checks={"threads": pool.check})``.
        """
        with self.lock:
            self._forget_exhaustion()
            since = self._exhausted_since
            if since is not None and (seconds := time.monotonic() - since) > self.timeout:
                raise TimeoutError(f"no thread for {seconds:.0f} s; {self._who()}")

    # Leases call the rest. They hold the lock, except for methods that take it themselves.

    def take_place(self, claim: Claim) -> bool:
        """Let *claim* make a call. Return False if it must wait until it is granted a place."""
        if claim.has_place:
            self._resting.pop(claim, None)
            self._lend(claim)
        elif claim in self._waiting:
            return False
        elif self._waiting or self._places_taken >= self._limit:
            self._waiting[claim] = None
            if self._exhausted_since is None:
                self._exhausted_since = time.monotonic()
            return False
        else:
            self._admit(claim)
        return True

    def rest(self, claim: Claim) -> None:
        """Note that *claim* has no call to make at the moment."""
        if claim.has_place:
            self._resting[claim] = time.monotonic()

    def give_up_place(self, claim: Claim) -> None:
        """Let others have the place of *claim*, which keeps its thread."""
        self._resting.pop(claim, None)
        if claim.has_place:
            claim.has_place = False
            self._places_taken -= 1
            self._grant()

    def resume(self, claim: Claim) -> None:
        """Count *claim* again. It cannot wait for a place, because its call is running."""
        claim.has_place = True
        self._places_taken += 1
        if claim in self._waiting:  # for another call
            self.stop_waiting(claim)
            claim.granted()

    def leave(self, claim: Claim) -> None:
        """Take back whatever *claim* has."""
        self._waiting.pop(claim, None)
        worker, claim.worker = claim.worker, None
        if worker is not None:
            del self._holders[claim]
            self._take_back(worker)
        self.give_up_place(claim)

    def may_look_for_rest(self) -> bool:
        """Tell whether to look for requests that rest now: one waiting call looks for all."""
        now = time.monotonic()
        if now - self._looked_at < self.look_interval:
            return False
        self._looked_at = now
        return True

    def park(self, looked_since: float) -> None:
        """Give the places of requests that have rested for too long to requests that wait."""
        for claim in self._rested(looked_since):
            del self._resting[claim]
            claim.has_place = False
            self._places_taken -= 1
        self._grant()

    def stop_waiting(self, claim: Claim) -> None:
        self._waiting.pop(claim, None)
        self._forget_exhaustion()

    def warning(self) -> str | None:
        """Return a line about a request that has waited too long: one line while requests wait.

        The caller logs it after it has released the lock, because a log handler may block.
        """
        if self._has_warned:
            return None
        self._has_warned = True
        waiting = len(self._waiting)
        return f"no thread within {self.timeout:g} s; {waiting} requests wait; {self._who()}"

    def own_thread(self) -> OwnThread:
        """Return a thread for the tasks that outlive one request."""
        return OwnThread("thread pool task", self._note_outliving)

    def leave_shared(self, worker: Worker) -> None:
        """Note that a WebSocket makes no more calls in *worker*."""
        with self.lock:
            self.shared.leave(worker)

    def _grant(self) -> None:
        """Give free places to the requests that have waited longest."""
        while self._waiting and self._places_taken < self._limit and not is_exiting():
            claim = next(iter(self._waiting))
            del self._waiting[claim]
            self._admit(claim)
            claim.granted()
            self._exhausted_since = time.monotonic()  # a place has just become free
        self._forget_exhaustion()

    def _admit(self, claim: Claim) -> None:
        claim.has_place = True
        self._places_taken += 1
        self._lend(claim)

    def _lend(self, claim: Claim) -> None:
        """Give *claim* a thread, unless it has one that still makes calls."""
        if claim.worker is not None and not claim.worker.is_ending:
            return
        claim.worker = self._take_idle() or self._start()
        claim.worker.put(renew_connections)
        claim.since = time.monotonic()
        self._holders[claim] = None

    def _take_idle(self) -> Worker | None:
        for idle in (self._idle, self._idle_overflow):
            if idle:
                return idle.pop()
        return None

    def _start(self) -> Worker:
        lasts = len(self._lasting) < self._size and not self._closed
        worker = Worker(_NAME, retire=None if lasts else self._retire, ended=self._note_end)
        self._workers.add(worker)
        if lasts:
            self._lasting.add(worker)
        return worker

    def _take_back(self, worker: Worker) -> None:
        if worker.is_ending:
            return
        worker.put(renew_connections)
        if self._closed:
            worker.end()
        elif worker in self._lasting:
            self._idle.append(worker)
        else:
            self._idle_overflow.append(worker)

    def _forget_exhaustion(self) -> None:
        if self._exhausted_since is None or self._waiting:
            return
        if self._places_taken - len(self._rested(time.monotonic())) < self._limit:
            self._exhausted_since = None
            self._has_warned = False

    def _rested(self, looked_since: float) -> list[Claim]:
        """Return the requests that have rested long enough. For a stream, any rest is enough."""
        long_ago = looked_since - self._rest_time
        return [
            claim
            for claim, since in self._resting.items()
            if since <= (looked_since if claim.is_streaming else long_ago)
        ]

    def _who(self) -> str:
        """Return which requests are at work, and for how long."""
        now = time.monotonic()
        at_work = [claim for claim in self._holders if claim.has_place]
        at_work.sort(key=lambda claim: claim.since)
        named = [f"{claim.describe()} for {now - claim.since:.0f} s" for claim in at_work[:_NAMED]]
        if more := len(at_work) - len(named):
            named.append(f"{more} more")
        return f"at work: {', '.join(named)}"

    # Called by the workers, in their threads.

    def _retire(self, worker: Worker) -> bool:
        """End an overflow thread, unless it has just been lent."""
        with self.lock:
            if worker not in self._idle_overflow:
                return False
            self._idle_overflow.remove(worker)
            worker.end()
            return True

    def _note_outliving(self, worker: Worker) -> None:
        with self.lock:
            self._outliving.add(worker)

    def _note_end(self, worker: Worker) -> None:
        with self.lock:
            self._workers.discard(worker)


_pools: "WeakSet[ThreadPool]" = WeakSet()


def _start_pools_afresh() -> None:
    for pool in _pools:
        pool._start_afresh()  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_pools_afresh)
