"""Requests and WebSockets: counted while they are in flight, and ended by a drain.

A drain never cancels an app. The app's ``receive()`` returns a disconnect, as if the client had
gone. Django, Channels and Starlette all react to that, and have time to clean up. If the app goes
on, its ``send()`` then raises ``ConnectionResetError``: since ASGI 2.4, ``send()`` raises an
``OSError`` after the client has gone.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable
from typing import cast

from .._async import as_async
from .._headers import values
from .._messages import ENDS_WEBSOCKET, HTTP_DISCONNECT, is_last
from .._receive import Endable, EndableReceive
from .._responses import SERVICE_RESTART, TRY_AGAIN_LATER, close_websocket, send_unavailable
from ..types import ASGIApp, Headers, Message, Receive, Scope, Send
from .drain import Countdown
from .timeouts import PATIENCE, Deadline

logger = logging.getLogger(__name__)

_UNAVAILABLE = "Not available at the moment."


class InFlight:
    """Counts connections. Each is served within ``with in_flight:``."""

    def __init__(self) -> None:
        self.count = 0
        self._none = asyncio.Event()

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
        if not self.count:
            self._none.set()

    async def ended(self, deadline: Deadline) -> None:
        """Wait until no connection is in flight, or until the deadline."""
        if not self.count:
            return
        self._none.clear()
        try:
            async with asyncio.timeout(deadline.left()):
                await self._none.wait()
        except TimeoutError:
            logger.error(  # noqa: TRY400
                "connections still in flight at shutdown: %d; their resources are closed now",
                self.count,
            )


async def refuse(scope: Scope, receive: Receive, send: Send, retry_after: int) -> None:
    """Send a 503, or close a WebSocket before it is accepted."""
    if scope["type"] == "http":
        await send_unavailable(send, _UNAVAILABLE, retry_after)
    else:
        await receive()  # websocket.connect
        await close_websocket(send, TRY_AGAIN_LATER)


async def serve_http(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, countdown: Countdown
) -> None:
    """Serve a request that the drain can end; if it does, the response is completed."""
    request = _Request(scope, receive, send)
    countdown.add(request)
    try:
        await request.call(app, scope)
        if request.drained and not request.complete:
            await _try(request.finish())
    finally:
        countdown.discard(request)


async def serve_websocket(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, countdown: Countdown
) -> None:
    """Serve a WebSocket that the drain can close."""
    websocket = _WebSocket(receive, send)
    countdown.add(websocket)
    try:
        await websocket.call(app, scope)
        if websocket.closed:
            await _try(websocket.read_to_the_end())
    finally:
        countdown.discard(websocket)


class _DrainedError(ConnectionResetError):
    """Raised by the app's ``send()`` after the drain has ended the connection."""


class _Connection(EndableReceive, ABC):
    """Passes messages on until the drain ends ``receive()`` and, a moment later, ``send()``."""

    def __init__(self, receive: Receive, send: Send) -> None:
        super().__init__(receive, self._disconnected)
        self.drained = False
        self._sending = Endable()
        self._send = send

    async def call(self, app: ASGIApp, scope: Scope) -> None:
        try:
            await app(scope, self.receive, self.send)
        except Exception as error:
            if not _says_that_it_was_drained(error):
                raise
            logger.debug("the app ended with the error that the drain raised", exc_info=True)

    @abstractmethod
    def send(self, message: Message) -> Awaitable[object]: ...

    def reset(self) -> None:
        self._sending.end()

    @abstractmethod
    async def _disconnected(self) -> Message:
        """Return the message that the app receives from now on."""

    async def _send_until_reset(self, message: Message) -> None:
        """Send *message*; raise after :meth:`reset`, even if a slow client blocks the send."""
        if not self._sending.ended:
            await self._sending.unless_ended(self._send(message))
        if self._sending.ended:
            await self._disconnected()
            await asyncio.sleep(0)  # or an app that sends in a loop would block all others
            raise _DrainedError("the process is shutting down and has ended this connection")


class _Request(_Connection):
    """A request. Tracks how much of its response has been sent."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(receive, send)
        self.complete = False
        self._started = False
        self._sized = False
        self._scope = scope
        self._trailers = False

    @property
    def kind(self) -> str:
        return "streams" if self._started and not self.complete else "requests"

    def send(self, message: Message) -> Awaitable[object]:
        if message["type"] == "http.response.start":
            if self._sending.ended:
                return self._send_until_reset(message)
            message = self._start(message)
            return self._send(message)
        if is_last(message, trailers=self._trailers):
            self.complete = True
            if self._sending.ended:
                return _try(self._send(message))
            return self._sending.unless_ended(self._send(message))
        return self._send_until_reset(message)

    async def finish(self) -> None:
        """Complete the response, if that is still possible."""
        if not self._started:
            await send_unavailable(self._send, _UNAVAILABLE, retry_after=1)
        elif not self._sized:  # after a Content-Length, the server must cut the connection
            await self._send({"type": "http.response.body"})
            if self._trailers:
                await self._send({"type": "http.response.trailers", "headers": []})

    async def _disconnected(self) -> Message:
        self.drained = True
        return HTTP_DISCONNECT

    def _start(self, message: Message) -> Message:
        headers: Headers = message.get("headers", ())
        if not isinstance(headers, list | tuple):
            headers = list(headers)  # an iterator can be read only once
            message = {**message, "headers": headers}
        self._started = True
        self._sized = bool(values(headers, b"content-length"))
        offered = "http.response.trailers" in (self._scope.get("extensions") or ())
        self._trailers = offered and message.get("trailers", False)
        return message


class _WebSocket(_Connection):
    """A WebSocket. The drain first closes it, and then sends its app a disconnect."""

    kind = "WebSockets"

    def __init__(self, receive: Receive, send: Send) -> None:
        super().__init__(receive, send)
        self.closed = False
        self._ended = False
        self._server_receive = receive

    @as_async
    def send(self, message: Message) -> Awaitable[object]:
        ends = message["type"] in ENDS_WEBSOCKET
        if self.drained and (ends or not self._sending.ended):
            return asyncio.sleep(0)  # the message is dropped; others get their turn
        if ends:
            self._ended = True
            return self._send(message)
        return self._send_until_reset(message)

    async def _disconnected(self) -> Message:
        if not (self.drained or self._ended):
            self.drained = True
            self.closed = await _try(close_websocket(self._send, SERVICE_RESTART))
        self.drained = True
        return {"type": "websocket.disconnect", "code": SERVICE_RESTART, "reason": ""}

    async def read_to_the_end(self) -> None:
        """Read the messages that the app has not read: hypercorn waits until somebody does."""
        while (await self._server_receive())["type"] != "websocket.disconnect":
            pass


def _says_that_it_was_drained(error: BaseException) -> bool:
    """Tell whether *error* is ours, or one that an app such as Starlette raised because of it."""
    if isinstance(error, BaseExceptionGroup):
        errors = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return all(map(_says_that_it_was_drained, errors))
    return isinstance(error, _DrainedError) or isinstance(
        error.__cause__ or error.__context__, _DrainedError
    )


async def _try(ending: Awaitable[None]) -> bool:
    """Await *ending* for a moment, and tell whether it succeeded.

    It may fail because the client has gone, which is not an error.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            await ending
    except Exception:
        logger.debug("a connection could not be ended cleanly", exc_info=True)
        return False
    return True
