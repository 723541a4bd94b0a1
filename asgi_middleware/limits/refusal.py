"""What both limits do to a request that they end."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from typing import Any, Literal

from .._async import as_async
from .._messages import HTTP_DISCONNECT
from .._receive import Endable
from .._responses import send_text
from ..types import Headers, Message, Receive, Scope, Send

logger = logging.getLogger("asgi_middleware.limits")

Outcome = Literal["refused", "timeout"]


class Refusable(Endable):
    """A request that a limit may refuse until its response has begun.

        request = Refusable(scope, receive, send)
        try:
            await app(scope, request.receive, request.send)
        except BaseException as error:
            if not request.explains(error):
                raise
        if request.refusal is not None:
            await request.refusal

    Once it is refused, the app receives a disconnect, and what the app sends is dropped.
    """

    refusal: "asyncio.Task[None] | None" = None
    has_response = has_left = False

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Cheaper than super().__init__(), and this runs for each request.
        self.waiting = set()
        self.scope = scope
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        if self.ended:
            await asyncio.sleep(0)  # so that an app that asks in a loop blocks nobody
            return HTTP_DISCONNECT
        message = await self.unless_ended(self._receive())
        if message is None:
            return HTTP_DISCONNECT
        if message["type"] == "http.disconnect":
            self.has_left = True
        return message

    @as_async
    def send(self, message: Message) -> Awaitable[None]:
        if self.refusal is not None:
            return _dropped(message)
        if message["type"] == "http.response.start":
            self.begin_response()
        return self._send(message)

    def begin_response(self) -> None:
        self.has_response = True

    def explains(self, error: BaseException) -> bool:
        """Tell whether the app raised *error* because its request was refused; if so, log it.

        The app was told that its client has left, and may raise because of that. A cancellation is
        never ours.
        """
        if self.ended and isinstance(error, Exception):
            logger.debug("the app raised after its request was refused", exc_info=error)
            return True
        if self.refusal is not None:
            self.refusal.cancel()
        return False

    def refuse(self, status: int, headers: Headers, text: str, outcome: Outcome) -> None:
        """End the request, with a response unless the app has begun one."""
        if self.has_response:
            logger.debug("a request was ended after its response had begun (%d)", status)
        else:
            # A task, because the app may be in a call that does not end, or may cancel this one.
            refusal = respond(self.scope, self._send, status, headers, text, outcome)
            self.refusal = asyncio.create_task(refusal)
        self.end()


async def respond(
    scope: Scope, send: Send, status: int, headers: Headers, text: str, outcome: Outcome
) -> None:
    """Respond in the app's place, and note the *outcome* in the request's record, if it has one."""
    state: Mapping[str, Any] = scope.get("state") or {}
    record = state.get("timing")
    if record is not None and hasattr(record, "refusal"):
        record.refusal = outcome
    with suppress(OSError):  # the client has left
        await send_text(send, status, headers, text)


async def _dropped(message: Message) -> None:
    """Drop what an app sends after its request was refused; end a stream with an error."""
    await asyncio.sleep(0)
    if message.get("more_body", False):
        raise ConnectionResetError("the request was refused")
