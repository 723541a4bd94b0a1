"""Requests and WebSockets: how many are in flight, and how a drain ends one.

An app is never cancelled. It hears from ``receive()`` that its client has gone, which
Django, Channels and Starlette all heed, and is given the time to tidy up.
"""

import asyncio
import logging
from collections.abc import Awaitable

from asgiref.sync import markcoroutinefunction

from .._headers import values
from .._responses import send_text
from ..types import ASGIApp, Headers, Message, Receive, Scope, Send
from .drain import Draining
from .worker import PATIENCE, Deadline

logger = logging.getLogger(__name__)

# Service Restart; autobahn, and so Daphne, lets a server send 1000 or an application's own.
# https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number
_RESTART, _NORMAL = 1012, 1000
# Try Again Later.
_TRY_AGAIN = 1013


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
        """Wait until there is none, or until time is up."""
        if not self.count:
            return
        self._none.clear()
        try:
            async with asyncio.timeout(deadline.left()):
                await self._none.wait()
        except TimeoutError:
            logger.error(  # noqa: TRY400
                "still in flight at shutdown: %d; what they use is closed now", self.count
            )


async def refuse(scope: Scope, receive: Receive, send: Send, retry_after: int) -> None:
    """Answer 503, or close the WebSocket before it is open."""
    if scope["type"] == "http":
        await _unavailable(send, retry_after)
    else:
        await receive()  # websocket.connect
        await send({"type": "websocket.close", "code": _TRY_AGAIN})


async def serve_http(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, draining: Draining
) -> None:
    """Call *app* so that the drain can end the request, and complete the response."""
    response = _Response(send)
    drained = False

    async def end() -> Message:
        nonlocal drained
        drained = True
        return {"type": "http.disconnect"}

    with draining.listening(receive, end) as listening:
        await app(scope, listening.receive, response.send)
    if drained and not response.complete:
        await _bounded(response.end())


async def serve_websocket(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, draining: Draining
) -> None:
    """Call *app* so that the drain can close the WebSocket."""
    drained = ended = False

    async def end() -> Message:
        nonlocal drained
        if not (drained or ended):
            drained = True
            await _bounded(_close(send))
        drained = True
        return {"type": "websocket.disconnect", "code": _RESTART, "reason": ""}

    def send_until_drained(message: Message) -> Awaitable[None]:
        nonlocal ended
        if drained:
            return _nothing()  # what is sent after a disconnect goes nowhere
        ended = ended or message["type"] in ("websocket.close", "websocket.http.response.start")
        return send(message)

    with draining.listening(receive, end) as listening:
        # A sync consumer of Channels gives it to async_to_sync, which warns of what looks sync.
        await app(scope, listening.receive, markcoroutinefunction(send_until_drained))


# The messages that can be the last of a body, each with the field that says that it is not.
# https://asgi.readthedocs.io/en/latest/specs/www.html#response-body-send-event and, of
# extensions.html, the sections on path send and zero copy send.
_BODY = {
    "http.response.body": "more_body",
    "http.response.pathsend": "",
    "http.response.zerocopysend": "more_body",
}


class _Response:
    """Passes a response on, and knows what is missing at the end of it."""

    def __init__(self, send: Send) -> None:
        self.complete = False
        self._send = send
        self._started = False
        self._sized = False
        self._trailers = False

    def send(self, message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "http.response.start":
            message = self._start(message)
        elif kind == "http.response.trailers":
            self.complete = not message.get("more_trailers", False)
        elif kind in _BODY and not message.get(_BODY[kind], False):
            self.complete = not self._trailers
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
        """Send what makes the response a whole one, if that can still be done."""
        if not self._started:
            await _unavailable(self._send, retry_after=1)
        elif not self._sized:  # or the client waits for the rest, until the server cuts it
            await self._send({"type": "http.response.body"})
            if self._trailers:
                await self._send({"type": "http.response.trailers", "headers": []})


async def _unavailable(send: Send, retry_after: int) -> None:
    headers = ((b"retry-after", str(retry_after).encode()), (b"cache-control", b"no-store"))
    await send_text(send, 503, headers, "Not available at the moment.")


async def _close(send: Send) -> None:
    try:
        await send({"type": "websocket.close", "code": _RESTART})
    except Exception:  # noqa: BLE001 -- autobahn raises a bare Exception
        await send({"type": "websocket.close", "code": _NORMAL})


async def _bounded(sending: Awaitable[None]) -> None:
    """Await *sending*, but not for long, and not for an answer: the client may be gone."""
    try:
        async with asyncio.timeout(PATIENCE):
            await sending
    except Exception:
        logger.debug("the end of a connection could not be sent", exc_info=True)


async def _nothing() -> None:
    pass
