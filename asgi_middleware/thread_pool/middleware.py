"""Lend the pool's threads to the app, request by request."""

import asyncio
import math
from collections.abc import Awaitable

from .. import _options as options
from .._async import as_async
from .._django import transactions_kept
from .._messages import HTTP_DISCONNECT, ends_body
from .._receive import EndableReceive
from .._responses import send_unavailable
from .._threads import ThreadContext, is_below_sync_code
from ..types import ASGIApp, Message, Receive, Scope, Send
from .lease import NoThreadError, RequestLease, SharedLease
from .pool import ThreadPool


class ThreadPoolMiddleware:
    """Run the app's sync code in the threads of a pool.

    * ``pool``: a :class:`ThreadPool`; by default a new one.

    A request, streams included, keeps one thread from its first sync call to its end. WebSockets,
    and everything else that is not a request, use other threads. Each WebSocket makes all its calls
    on one thread.

    Below ``async_to_sync``, as in an async test of Django's ``TestCase``, no thread is lent: the
    thread that waits there makes the calls, within its transaction.

    Raises :class:`ConfigurationError` for a ``pool`` that is not a :class:`ThreadPool`.
    """

    def __init__(self, app: ASGIApp, *, pool: ThreadPool | None = None) -> None:
        options.check(
            "ThreadPoolMiddleware",
            options.instance("pool", pool, ThreadPool, "ThreadPool()", optional=True),
        )
        self.app = app
        self.pool = ThreadPool() if pool is None else pool

    def __repr__(self) -> str:
        return f"ThreadPoolMiddleware(pool={self.pool!r})"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if is_below_sync_code():
            async with transactions_kept():
                return await self.app(scope, receive, send)
        if scope["type"] == "http":
            return await self._serve_request(scope, receive, send)
        lease = SharedLease(self.pool)
        if scope["type"] == "websocket":
            send = _sending(lease, send)
        async with ThreadContext(lease, afterwards=lambda: lease):
            await self.app(scope, receive, send)

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        lease = RequestLease(self.pool, scope)
        refusable = _Refusable(lease, self.pool, receive, send)
        try:
            async with ThreadContext(lease, afterwards=self.pool.own_thread):
                await self.app(scope, refusable.receive, refusable.send)
        except NoThreadError:
            if refusable.has_started:
                raise
            refusable.is_refused = True
        finally:
            lease.end()
        if refusable.is_refused:
            await refusable.respond()


class _Refusable:
    """Passes a request's messages on, keeps its lease up to date, and refuses it if necessary."""

    def __init__(self, lease: RequestLease, pool: ThreadPool, receive: Receive, send: Send) -> None:
        self.has_started = False
        self.is_refused = False
        self._response: asyncio.Task[None] | None = None
        self._lease = lease
        self.pool = pool
        self._listening = EndableReceive(receive, self._respond_and_disconnect)
        self._send = send
        lease.refuse = self._refuse

    async def receive(self) -> Message:
        message = await self._listening.receive()
        if message["type"] == "http.disconnect":
            self._lease.is_ending = True
        return message

    @as_async
    def send(self, message: Message) -> Awaitable[None]:
        if self.is_refused:
            return asyncio.sleep(0)  # messages after a disconnect are dropped
        if message["type"] == "http.response.start":
            self.has_started = self._lease.has_started = True
            if self.pool.releases_streams:
                # Runs when the app next waits; a response that is not a stream is complete by then.
                asyncio.get_running_loop().call_soon(self._lease.release_stream)
        elif ends_body(message):
            self._lease.is_ending = True
        if self._lease.is_calling and is_below_sync_code():
            return _send_without_place(self._lease, self._send, message)
        return self._send(message)

    async def respond(self) -> None:
        """Send the refusal, unless it has been sent already.

        It is sent by a task of its own, because Django may cancel the task that listens for a
        disconnect in the middle of it.
        """
        if self._response is None:
            retry_after = math.ceil(self.pool.timeout)
            sending = send_unavailable(self._send, "Too busy at the moment.", retry_after)
            self._response = asyncio.create_task(sending)
        if not self._response.done():
            await asyncio.shield(self._response)

    def _refuse(self) -> bool:
        """Send the app a disconnect if it listens for one, as Django does; return whether it does.

        Django then cancels the view, and ends the request in its own way.
        """
        if self.is_refused:
            return True
        if self.has_started or not self._listening.waiting:
            return False
        self.is_refused = True
        self._listening.end()
        return True

    async def _respond_and_disconnect(self) -> Message:
        await self.respond()
        return HTTP_DISCONNECT


def _sending(lease: SharedLease, send: Send) -> Send:
    """Return a *send* that keeps new users off the thread while the thread waits for it."""

    @as_async
    def send_from_anywhere(message: Message) -> Awaitable[None]:
        if lease.is_calling and is_below_sync_code():
            return _send_without_place(lease, send, message)
        return send(message)

    return send_from_anywhere


async def _send_without_place(
    lease: RequestLease | SharedLease, send: Send, message: Message
) -> None:
    """Send a message for a thread, which does not count as at work while it waits."""
    lease.give_up_place()
    try:
        await send(message)
    finally:
        lease.resume()
