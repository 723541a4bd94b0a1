"""Requests and WebSockets: how many are in flight, and how a drain ends one.

An app is never cancelled. Its ``receive()`` returns a disconnect, as if the client had gone.
Django, Channels and Starlette all react to that, and have time to clean up. If the app goes on,
its ``send()`` then raises ``ConnectionResetError``, as ASGI 2.4 has it for a client that has gone.
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
    """Counts the connections within ``with in_flight:``."""

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
        """Wait until there is none, or until the deadline."""
        if not self.count:
            return
        self._none.clear()
        try:
            async with asyncio.timeout(deadline.left()):
                await self._none.wait()
        except TimeoutError:
            logger.error(  # noqa: TRY400
                "still in flight at shutdown: %d; their resources are closed now", self.count
            )


async def refuse(scope: Scope, receive: Receive, send: Send, retry_after: int) -> None:
    """Send a 503, or close the WebSocket before it is open."""
    if scope["type"] == "http":
        await send_unavailable(send, _UNAVAILABLE, retry_after)
    else:
        await receive()  # websocket.connect
        await close_websocket(send, TRY_AGAIN_LATER)


async def serve_http(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, countdown: Countdown
) -> None:
    """Call *app* so that the drain can end the request, and complete the response."""
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
    """Call *app* so that the drain can close the WebSocket."""
    websocket = _WebSocket(receive, send)
    countdown.add(websocket)
    try:
        await websocket.call(app, scope)
        if websocket.closed:
            await _try(websocket.read_to_the_end())
    finally:
        countdown.discard(websocket)


class _DrainedError(ConnectionResetError):
    """What ``send`` raises."""


class _Connection(EndableReceive, ABC):
    """Passes messages on until the drain ends: first what the app receives, then what it sends."""

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
            logger.debug("the app has ended by an error of the drain", exc_info=True)

    @abstractmethod
    def send(self, message: Message) -> Awaitable[object]: ...

    def reset(self) -> None:
        self._sending.end()

    @abstractmethod
    async def _disconnected(self) -> Message:
        """Return what the app receives from now on."""

    async def _send_until_reset(self, message: Message) -> None:
        """Send *message*, or raise once the drain is over: meanwhile too, if nobody reads it."""
        if not self._sending.ended:
            await self._sending.unless_ended(self._send(message))
        if self._sending.ended:
            await self._disconnected()
            await asyncio.sleep(0)  # an app that sends in a loop lets others go on
            raise _DrainedError("the process is about to end, and the client will connect again")


class _Request(_Connection):
    """A request, and what is missing at the end of its response."""

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
        elif not self._sized:  # otherwise the client waits for the rest until the server cuts it
            await self._send({"type": "http.response.body"})
            if self._trailers:
                await self._send({"type": "http.response.trailers", "headers": []})

    async def _disconnected(self) -> Message:
        self.drained = True
        return HTTP_DISCONNECT

    def _start(self, message: Message) -> Message:
        headers: Headers = message.get("headers", ())
        if not isinstance(headers, list | tuple):
            headers = list(headers)  # it can be read only once
            message = {**message, "headers": headers}
        self._started = True
        self._sized = bool(values(headers, b"content-length"))
        offered = "http.response.trailers" in (self._scope.get("extensions") or ())
        self._trailers = offered and message.get("trailers", False)
        return message


class _WebSocket(_Connection):
    """A WebSocket, which is closed before its app hears of it."""

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
            return asyncio.sleep(0)  # it goes nowhere, but lets others go on
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
        """Take what the client has sent, and the app has not taken: hypercorn waits for that."""
        while (await self._server_receive())["type"] != "websocket.disconnect":
            pass


def _says_that_it_was_drained(error: BaseException) -> bool:
    """Tell whether *error* is ours, or what an app such as Starlette raises in its place."""
    if isinstance(error, BaseExceptionGroup):
        errors = cast("BaseExceptionGroup[BaseException]", error).exceptions
        return all(map(_says_that_it_was_drained, errors))
    return isinstance(error, _DrainedError) or isinstance(
        error.__cause__ or error.__context__, _DrainedError
    )


async def _try(ending: Awaitable[None]) -> bool:
    """Await *ending* for a moment, and tell whether that went well.

    The client may be gone, and that is no error.
    """
    try:
        async with asyncio.timeout(PATIENCE):
            await ending
    except Exception:
        logger.debug("a connection did not end as it should", exc_info=True)
        return False
    return True
