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

    Once it is refused, the app receives a disconnect, and what it sends goes nowhere.
    """

    refusal: "asyncio.Task[None] | None" = None
    has_response = has_left = False

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # In place of super().__init__(), because there is one of these for each request.
        self.waiting = set()
        self.scope = scope
        self._receive = receive
        self._send = send

    async def receive(self) -> Message:
        if self.ended:
            await asyncio.sleep(0)  # an app that asks in a loop lets others go on
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
        """Tell whether the app has raised *error* because it was refused; log it if so.

        An app may raise when its client leaves, which is what it was told. A cancellation is not
        ours.
        """
        if self.ended and isinstance(error, Exception):
            logger.debug("the app raised after its request was refused", exc_info=error)
            return True
        if self.refusal is not None:
            self.refusal.cancel()
        return False

    def refuse(self, status: int, headers: Headers, text: str, outcome: Outcome) -> None:
        """End the request: by a response, unless the app has begun one."""
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
    """Respond in the app's place. The record of the request, if there is one, says why."""
    state: Mapping[str, Any] = scope.get("state") or {}
    record = state.get("timing")
    if record is not None and hasattr(record, "refusal"):
        record.refusal = outcome
    with suppress(OSError):  # the client has left
        await send_text(send, status, headers, text)


async def _dropped(message: Message) -> None:
    """Drop what an app sends after its request was refused; a stream is told to end."""
    await asyncio.sleep(0)
    if message.get("more_body", False):
        raise ConnectionResetError("the request was refused")
