"""A ``receive`` that can be told, from outside of the app, that the client has gone."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from .types import Message, Receive

_GONE = ("http.disconnect", "websocket.disconnect")


class Listening:
    """Hands on what comes from the server, until the client has gone or :meth:`end` is called.

    Then *instead* is awaited, for what to hand on in place of what the server would have said.
    Whatever says that the client has gone is handed on ever after: the server is not asked
    again. https://asgi.readthedocs.io/en/latest/specs/www.html#disconnect-receive-event
    """

    def __init__(self, receive: Receive, instead: Callable[[], Awaitable[Message]]) -> None:
        self.ended = False
        self.waiting: set[asyncio.Task[object]] = set()
        self._receive = receive
        self._instead = instead
        self._gone: Message | None = None

    async def receive(self) -> Message:
        if self._gone is not None:
            return self._gone
        message = None if self.ended else await self._next()
        if message is None:
            message = await self._instead()
        if message["type"] in _GONE:
            self._gone = message
        return message

    def end(self) -> None:
        """Ask the server no more, and let who waits for it go on at once."""
        self.ended = True
        for task in self.waiting:
            task.cancel()

    async def _next(self) -> Message | None:
        """Return what the server says, None if :meth:`end` is called before.

        As ``asyncio.timeout`` does it, for less: a cancellation that is not ours passes.
        """
        task = cast("asyncio.Task[object]", asyncio.current_task())
        others = task.cancelling()
        self.waiting.add(task)
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if not self.ended or task.uncancel() > others:
                raise
            return None
        finally:
            self.waiting.discard(task)
