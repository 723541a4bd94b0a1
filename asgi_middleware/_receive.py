"""Waiting for the server, until code outside the app ends the wait."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ._messages import DISCONNECTS
from .types import Message, Receive

_T = TypeVar("_T")


class Endable:
    """Waits for the server until :meth:`end` is called. ``waiting`` holds the tasks that wait."""

    ended = False

    def __init__(self) -> None:
        self.waiting: set[asyncio.Task[object]] = set()

    def end(self) -> None:
        """Wake the waiting tasks."""
        self.ended = True
        for task in self.waiting:
            task.cancel()

    async def unless_ended(self, server: Awaitable[_T]) -> _T | None:
        """Await *server*, or return None if :meth:`end` is called first.

        Like ``asyncio.timeout``, but cheaper: it lets a cancellation that is not ours through.
        """
        task: Any = asyncio.current_task()
        others = task.cancelling()
        self.waiting.add(task)
        try:
            return await server
        except asyncio.CancelledError:
            if not self.ended or task.uncancel() > others:
                raise
            return None
        finally:
            self.waiting.discard(task)


class EndableReceive(Endable):
    """Passes on the server's messages until the client has gone or :meth:`end` is called.

    After :meth:`end`, ``receive`` returns the message that *instead* returns. Once a message says
    that the client has gone, ``receive`` returns that message forever, without asking the server.
    https://asgi.readthedocs.io/en/latest/specs/www.html#disconnect-receive-event
    """

    _disconnect: Message | None = None

    def __init__(self, receive: Receive, instead: Callable[[], Awaitable[Message]]) -> None:
        super().__init__()
        self._receive = receive
        self._instead = instead

    async def receive(self) -> Message:
        if self._disconnect is not None:
            await asyncio.sleep(0)  # so that an app that asks in a loop blocks nobody
            return self._disconnect
        message = None if self.ended else await self.unless_ended(self._receive())
        if message is None:
            message = await self._instead()
        if message["type"] in DISCONNECTS:
            self._disconnect = message
        return message
