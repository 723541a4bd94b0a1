"""Sync functions that return the thread that they run on. A test can hold up some of them."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from threading import Thread

from asgiref.sync import sync_to_async

from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import echo, hello

# In seconds. Generous, because only a failing test waits that long.
PATIENCE = 60.0

current_thread = sync_to_async(threading.current_thread)


class Blocking:
    """A sync function that signals when it has begun, and returns its thread once it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.let_go = threading.Event()
        self.thread: Thread | None = None

    def __call__(self) -> Thread:
        self.thread = threading.current_thread()
        self.begun.set()
        assert self.let_go.wait(PATIENCE)
        return self.thread

    async def begins(self) -> None:
        await until(self.begun.is_set)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 -- the condition may depend on threads
            await asyncio.sleep(0.001)


def visiting(visit: Callable[[], Awaitable[object]]) -> ASGIApp:
    """Return an app that awaits *visit*, and then serves a page or a WebSocket echo."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await visit()
        await (echo if scope["type"] == "websocket" else hello)(scope, receive, send)

    return app
