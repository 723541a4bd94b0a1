"""A ``receive`` that code outside of the app can end."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from ._messages import DISCONNECTS
from .types import Message, Receive


class EndableReceive:
    """Passes on the server's messages until the client has gone or :meth:`end` is called.

    After :meth:`end`, *instead* is awaited for the message to return in place of the server's.
    Once a message says that the client has gone, it is returned forever: the server is not asked
    again. https://asgi.readthedocs.io/en/latest/specs/www.html#disconnect-receive-event

    ``waiting`` holds the tasks that wait for the server.
    """

    def __init__(self, receive: Receive, instead: Callable[[], Awaitable[Message]]) -> None:
        self.ended = False
        self.waiting: set[asyncio.Task[object]] = set()
        self._receive = receive
        self._instead = instead
        self._disconnect: Message | None = None

    async def receive(self) -> Message:
        if self._disconnect is not None:
            return self._disconnect
        message = None if self.ended else await self._next()
        if message is None:
            message = await self._instead()
        if message["type"] in DISCONNECTS:
            self._disconnect = message
        return message

    def end(self) -> None:
        """Stop asking the server, and wake the tasks that wait for it."""
        self.ended = True
        for task in self.waiting:
            task.cancel()

    async def _next(self) -> Message | None:
        """Return the server's next message, None if :meth:`end` is called before it comes.

        Like ``asyncio.timeout``, but cheaper: a cancellation that is not ours passes.
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
