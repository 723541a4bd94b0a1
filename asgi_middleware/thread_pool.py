"""Lend Django's sync code warm threads, where it would start new ones for every request.

    pool = ThreadPool(size=8)

    application = compose(
        partial(LifespanMiddleware, lifespan=[pool]),
        partial(ThreadPoolMiddleware, pool=pool),
    )(get_asgi_application())

Under ASGI Django gives each request a thread of its own, and throws it away. With a pool
it serves more requests per second, the threads are bounded, ``CONN_MAX_AGE`` keeps
connections on every database, and Channels' consumers query in parallel. Views stay as
they are. As under WSGI, what a request leaves in a ``threading.local`` the next one finds.

Belongs innermost, next to Django, whose threads it lends: what answers further out needs
none, and what is refused here is logged and gets its headers there.

Read the pool first, then the lease, which is one request's claim to a thread, the worker,
which is a thread, and the middleware. How sync and async code meet:
https://docs.djangoproject.com/en/stable/topics/async/#async-adapter-functions
"""

import asyncio
import atexit
import logging
import math
import os
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Self
from weakref import WeakSet

from asgiref.sync import (
    AsyncToSync,
    SyncToAsync,
    ThreadSensitiveContext,
    markcoroutinefunction,
)

from ._send import send_text
from ._threads import WorkerThread, close_django_connections
from .errors import ConfigurationError
from .types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

# Seconds that an overflow thread waits for another request before it ends.
_LINGER = 1.0


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
        self.waiting: dict[_Lease, None] = {}
        self._leased = 0
        # Last in, first out, so that those which are not needed are idle long enough to end.
        self._idle: list[_Worker] = []
        self._idle_overflow: list[_Worker] = []
        self._lasting = 0
        self._workers: set[_Worker] = set()
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

    def lend(self) -> "_Worker | None":
        """Return a thread, None where all are lent and there may be no more."""
        if self._idle:
            worker = self._idle.pop()
        elif self._idle_overflow:
            worker = self._idle_overflow.pop()
        elif self._leased < self._limit:
            worker = _Worker(self, lasts=self._lasting < self._size)
            self._workers.add(worker)
            self._lasting += worker.lasts
        else:
            return None
        self._leased += 1
        return worker

    def take_back(self, worker: "_Worker") -> None:
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

    def retire(self, worker: "_Worker") -> bool:
        """Let an overflow thread go, unless it has just been lent."""
        with self.lock:
            if worker not in self._idle_overflow:
                return False
            self._idle_overflow.remove(worker)
            return True

    def ended(self, worker: "_Worker") -> None:
        with self.lock:
            self._workers.discard(worker)

    def _end(self, worker: "_Worker") -> None:
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


class _NoThreadError(TimeoutError):
    """All threads were lent for too long."""


class _Lease(Executor):
    """One request's claim to a thread of the pool; asgiref takes it for an executor.

    With *keeps* the thread of the first call stays to the end, otherwise for as long as
    there are calls that have not returned.
    """

    def __init__(self, pool: ThreadPool, *, keeps: bool) -> None:
        self.calls = 0
        # Whether what is called now only tidies up: it waits for a thread as long as it takes.
        self.ending = False
        # Called when a call has waited too long; returns whether that ends the request.
        self.refuse: Callable[[], bool] | None = None
        self.pool = pool
        self._keeps = keeps
        self._holds = keeps  # false as well between two calls that a stream makes
        self._worker: _Worker | None = None
        self._running = 0
        self._waiting: list[_Call] = []
        self._tidy = True

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Return a future of asyncio's, not the kind that other executors return.

        ``loop.run_in_executor`` passes it on, and need not chain two of them for each call.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        if self._keeps and not self.calls and (done := _housekeeping(function)) is not None:
            future.set_result(done)
            return future
        call = _Call(partial(function, *args, **kwargs), future, loop, self)
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

    def granted(self, worker: "_Worker") -> None:
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

    def _begin(self, worker: "_Worker") -> None:
        self._worker = worker
        worker.calls.put(_renew_connections)

    def _put(self, call: "_Call", worker: "_Worker") -> None:
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
            worker.calls.put(_renew_connections)
        self.pool.take_back(worker)

    def _wait(self, call: "_Call", loop: asyncio.AbstractEventLoop) -> None:
        self._waiting.append(call)
        self.pool.waiting[self] = None
        timer = loop.call_later(self.pool.timeout, self._timed_out, call)
        call.future.add_done_callback(partial(self._waited, call, timer))

    def _waited(self, call: "_Call", timer: asyncio.TimerHandle, _: object) -> None:
        """Forget a call that has been made, was cancelled, or has waited too long."""
        timer.cancel()
        with self.pool.lock:
            if call in self._waiting:
                self._waiting.remove(call)
                if not self._waiting:
                    self.pool.waiting.pop(self, None)

    def _timed_out(self, call: "_Call") -> None:
        with self.pool.lock:
            if call not in self._waiting or self.ending:
                return
            self.pool.warn()
        if self.refuse is None or not self.refuse():
            error = _NoThreadError(f"no thread within {self.pool.timeout:g} s: all are lent")
            call.future.set_exception(error)


class _Call:
    """A call of a sync function, and who waits for it."""

    __slots__ = ("_function", "_lease", "_loop", "future")

    def __init__(
        self,
        function: Callable[[], object],
        future: "asyncio.Future[Any]",
        loop: asyncio.AbstractEventLoop,
        lease: _Lease,
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


class _Worker:
    """A thread that makes calls in turn. Unless it *lasts*, it ends when it is idle for long."""

    def __init__(self, pool: ThreadPool, *, lasts: bool) -> None:
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


def _renew_connections() -> None:
    """Do to a thread, as it is lent or given back, what Django does as a request starts."""
    db: Any = sys.modules.get("django.db")
    conf: Any = sys.modules.get("django.conf")
    if db is None or conf is None or not conf.settings.configured:
        return
    try:
        for connection in db.connections.all(initialized_only=True):
            if connection.in_atomic_block:
                # Left open by mistake. A thread that ends takes such a transaction with it; in
                # this one the next request would find itself inside.
                connection.close()
                del db.connections[connection.alias]
        db.reset_queries()
        db.close_old_connections()
    except Exception:
        logger.exception("a database connection could not be closed")


def _housekeeping(function: Any) -> list[tuple[object, None]] | None:
    """Return what ``request_started`` returns, if only Django itself listens to that signal.

    Django calls its receivers in a thread before the view is known. What they do there is
    done when a thread is lent (:func:`_renew_connections`), so none is needed for them.
    """
    db: Any = sys.modules.get("django.db")
    signals: Any = sys.modules.get("django.core.signals")
    try:
        # asgiref hands over partial(..., partial(sync_send)), and sync_send is a closure within
        # Signal.asend. Nothing public tells so; what looks different is a call like any other.
        sync_send = function.args[-1].func
        cells = zip(sync_send.__code__.co_freevars, sync_send.__closure__, strict=True)
        free = {name: cell.cell_contents for name, cell in cells}
        receivers = free["sync_receivers"]
        ours = free["self"] is signals.request_started and all(
            receiver in (db.reset_queries, db.close_old_connections) for receiver in receivers
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    return [(receiver, None) for receiver in receivers] if ours else None


class ThreadPoolMiddleware:
    """Let the sync code of the app run in the threads of a pool.

    * ``pool``: a :class:`ThreadPool`; None makes one of its own.

    A request has one thread for all its sync calls, from the first to its end; a stream
    none while it waits, unless it has called something since it started. WebSockets, and
    whatever else lasts, have one for as long as a call takes.

    Below ``async_to_sync``, as in an async test of Django's, nothing is lent: the thread that
    waits there makes the calls, within its transaction.

    Raises :class:`ConfigurationError` for a ``pool`` that is none.
    """

    def __init__(self, app: ASGIApp, *, pool: ThreadPool | None = None) -> None:
        if pool is not None and not isinstance(pool, ThreadPool):
            problem = f"pool: {pool!r} is no pool; write ThreadPool() or None"
            raise ConfigurationError("ThreadPoolMiddleware", [problem])
        self.app = app
        self._pool = ThreadPool() if pool is None else pool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # asgiref has no public name for this. A context with an executor would hide it.
        if getattr(AsyncToSync.executors, "current", None) is not None:
            return await self.app(scope, receive, send)
        lease = _Lease(self._pool, keeps=scope["type"] == "http")
        try:
            if scope["type"] == "http":
                await self._serve_http(lease, scope, receive, send)
            elif scope["type"] == "websocket":
                await self._serve_websocket(lease, scope, receive, send)
            else:
                async with _Lent(lease):
                    await self.app(scope, receive, send)
        finally:
            lease.end()

    async def _serve_http(self, lease: _Lease, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = _Exchange(lease, receive, send)
        try:
            async with _Lent(lease):
                await self.app(scope, exchange.receive, exchange.send)
        except _NoThreadError:
            if exchange.started:
                raise
            exchange.refused = True
        if exchange.refused:
            await exchange.answer()

    async def _serve_websocket(
        self, lease: _Lease, scope: Scope, receive: Receive, send: Send
    ) -> None:
        ended = False

        @markcoroutinefunction  # or a sync consumer's async_to_sync warns of it
        def noting(message: Message) -> Awaitable[None]:
            nonlocal ended
            ended = ended or message["type"] in _END_OF_SOCKET
            return send(message)

        try:
            async with _Lent(lease):
                await self.app(scope, receive, noting)
        except _NoThreadError:
            if ended:
                raise
            try:
                await send({"type": "websocket.close", "code": _TRY_AGAIN})
            except Exception:  # noqa: BLE001 -- of autobahn, and so of Daphne, for that code
                await send({"type": "websocket.close", "code": _NORMAL})


# https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number
_TRY_AGAIN, _NORMAL = 1013, 1000
_END_OF_SOCKET = frozenset({"websocket.close", "websocket.http.response.start"})
# What can end a body. https://asgi.readthedocs.io/en/latest/extensions.html#path-send
_BODY = frozenset({"http.response.body", "http.response.pathsend", "http.response.zerocopysend"})
_DISCONNECT: Message = {"type": "http.disconnect"}


class _Lent(ThreadSensitiveContext):
    """Within it, asgiref gives the lease each call that is to be made in one thread."""

    def __init__(self, lease: _Lease) -> None:
        super().__init__(executor=lease)
        self._lease = lease

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)  # type: ignore[no-untyped-call]
        # Tasks that outlive the request go on, as they do in the context that Django makes.
        # asgiref bars them from one with an executor, and has no option for it.
        self._exited = False
        SyncToAsync.context_to_thread_executor[self] = self._lease


class _Exchange:
    """An HTTP request's messages, and what they mean to its lease."""

    def __init__(self, lease: _Lease, receive: Receive, send: Send) -> None:
        self.started = False
        self.refused = False
        self._complete = False
        self._answered = False
        self._gone: Message | None = None
        self._listener: asyncio.Task[Any] | None = None
        self._lease = lease
        self._receive = receive
        self._send = send
        lease.refuse = self._refuse

    async def receive(self) -> Message:
        if self._gone is not None:
            return self._gone
        self._listener = listener = asyncio.current_task()
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if not self.refused or listener is None or listener.uncancel():
                raise
            await self.answer()
            message = _DISCONNECT
        finally:
            self._listener = None
        if message["type"] == "http.disconnect":
            self._gone = message
            self._lease.ending = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        if self.refused:
            return _nothing()  # what is sent after a disconnect goes nowhere
        if message["type"] == "http.response.start":
            self.started = True
            return self._start(message) if self._lease.calls else self._send(message)
        if message["type"] in _BODY and not message.get("more_body", False):
            self._complete = self._lease.ending = True
        return self._send(message)

    async def answer(self) -> None:
        """Send the refusal, if it has not been sent."""
        if self._answered:
            return
        self._answered = True
        retry_after = str(math.ceil(self._lease.pool.timeout)).encode()
        headers = ((b"retry-after", retry_after), (b"cache-control", b"no-store"))
        await send_text(self._send, 503, headers, "Too busy at the moment.")

    async def _start(self, message: Message) -> None:
        calls = self._lease.calls
        await self._send(message)
        # Called when the app waits for something; what is no stream has sent its body by then.
        asyncio.get_running_loop().call_soon(self._pause_stream, calls)

    def _pause_stream(self, calls: int) -> None:
        # After a call that the stream itself made, its thread may hold an open cursor.
        if not self._complete and self._lease.calls == calls:
            self._lease.pause()

    def _refuse(self) -> bool:
        """Let the app hear that its client has gone, if it listens for that, as Django does.

        Django then cancels the view, and ends the request in its own way.
        """
        if self.refused:
            return True
        if self.started or self._listener is None:
            return False
        self.refused = True
        self._listener.cancel()
        return True


async def _nothing() -> None:
    pass
