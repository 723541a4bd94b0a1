"""Lend the pool's threads to the app, request by request."""

import asyncio
import math
from collections.abc import Awaitable

from asgiref.sync import (
    AsyncToSync,
    SyncToAsync,
    ThreadSensitiveContext,
    markcoroutinefunction,
)

from .._receive import Listening
from .._send import send_text
from ..errors import ConfigurationError
from ..types import ASGIApp, Message, Receive, Scope, Send
from .lease import Lease, NoThreadError
from .pool import ThreadPool


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
        lease = Lease(self._pool, keeps=scope["type"] == "http")
        try:
            if scope["type"] == "http":
                await self._serve_http(lease, scope, receive, send)
            elif scope["type"] == "websocket":
                await self._serve_websocket(lease, scope, receive, send)
            else:
                async with Lent(lease):
                    await self.app(scope, receive, send)
        finally:
            lease.end()

    async def _serve_http(self, lease: Lease, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange(lease, receive, send)
        try:
            async with Lent(lease):
                await self.app(scope, exchange.receive, exchange.send)
        except NoThreadError:
            if exchange.started:
                raise
            exchange.refused = True
        if exchange.refused:
            await exchange.answer()

    async def _serve_websocket(
        self, lease: Lease, scope: Scope, receive: Receive, send: Send
    ) -> None:
        ended = False

        @markcoroutinefunction  # or a sync consumer's async_to_sync warns of it
        def noting(message: Message) -> Awaitable[None]:
            nonlocal ended
            ended = ended or message["type"] in _END_OF_SOCKET
            return send(message)

        try:
            async with Lent(lease):
                await self.app(scope, receive, noting)
        except NoThreadError:
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


class Lent(ThreadSensitiveContext):
    """Within it, asgiref gives the lease each call that is to be made in one thread."""

    def __init__(self, lease: Lease) -> None:
        super().__init__(executor=lease)
        self._lease = lease

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)  # type: ignore[no-untyped-call]
        # Tasks that outlive the request go on, as they do in the context that Django makes.
        # asgiref bars them from one with an executor, and has no option for it.
        self._exited = False
        SyncToAsync.context_to_thread_executor[self] = self._lease


class Exchange:
    """An HTTP request's messages, and what they mean to its lease."""

    def __init__(self, lease: Lease, receive: Receive, send: Send) -> None:
        self.started = False
        self.refused = False
        self._complete = False
        self._answered = False
        self._lease = lease
        self._listening = Listening(receive, self._answered_by_us)
        self._send = send
        lease.refuse = self._refuse

    async def receive(self) -> Message:
        message = await self._listening.receive()
        if message["type"] == "http.disconnect":
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
        if self.started or not self._listening.waiting:
            return False
        self.refused = True
        self._listening.end()
        return True

    async def _answered_by_us(self) -> Message:
        await self.answer()
        return _DISCONNECT


async def _nothing() -> None:
    pass
