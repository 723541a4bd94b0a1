"""Requests and WebSockets: how many are in flight, and how a drain ends one.

An app is never cancelled. Its ``receive()`` returns a disconnect, as if the client had gone.
Django, Channels and Starlette all react to that, and have time to clean up.
"""

import asyncio
import logging
from collections.abc import Awaitable

from .._async import as_async
from .._headers import values
from .._messages import ENDS_WEBSOCKET, HTTP_DISCONNECT, is_last
from .._responses import SERVICE_RESTART, TRY_AGAIN_LATER, close_websocket, send_unavailable
from ..types import ASGIApp, Headers, Message, Receive, Scope, Send
from .deadline import PATIENCE, Deadline
from .drain import Countdown

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
    response = _Response(send)
    drained = False

    async def disconnect() -> Message:
        nonlocal drained
        drained = True
        return HTTP_DISCONNECT

    with countdown.connection(receive, disconnect) as endable:
        await app(scope, endable.receive, response.send)
    if drained and not response.complete:
        await _try(response.end())


async def serve_websocket(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, countdown: Countdown
) -> None:
    """Call *app* so that the drain can close the WebSocket."""
    drained = ended = False

    async def disconnect() -> Message:
        nonlocal drained
        if not (drained or ended):
            drained = True
            await _try(close_websocket(send, SERVICE_RESTART))
        drained = True
        return {"type": "websocket.disconnect", "code": SERVICE_RESTART, "reason": ""}

    def send_until_drained(message: Message) -> Awaitable[None]:
        nonlocal ended
        if drained:
            return _nothing()  # a message after a disconnect goes nowhere
        ended = ended or message["type"] in ENDS_WEBSOCKET
        return send(message)

    with countdown.connection(receive, disconnect) as endable:
        await app(scope, endable.receive, as_async(send_until_drained))


class _Response:
    """Passes a response on, and knows what is missing at its end."""

    def __init__(self, send: Send) -> None:
        self.complete = False
        self._send = send
        self._started = False
        self._sized = False
        self._trailers = False

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            message = self._start(message)
        elif is_last(message, trailers=self._trailers):
            self.complete = True
        return self._send(message)

    def _start(self, message: Message) -> Message:
        headers: Headers = message.get("headers", ())
        if not isinstance(headers, list | tuple):
            headers = list(headers)  # it can be read only once
            message = {**message, "headers": headers}
        self._started = True
        self._sized = bool(values(headers, b"content-length"))
        self._trailers = message.get("trailers", False)
        return message

    async def end(self) -> None:
        """Complete the response, if that is still possible."""
        if not self._started:
            await send_unavailable(self._send, _UNAVAILABLE, retry_after=1)
        elif not self._sized:  # otherwise the client waits for the rest until the server cuts it
            await self._send({"type": "http.response.body"})
            if self._trailers:
                await self._send({"type": "http.response.trailers", "headers": []})


async def _try(sending: Awaitable[None]) -> None:
    """Await *sending* for a moment; the client may be gone, and that is no error."""
    try:
        async with asyncio.timeout(PATIENCE):
            await sending
    except Exception:
        logger.debug("the end of a connection could not be sent", exc_info=True)


async def _nothing() -> None:
    pass
