"""Startup and shutdown under Daphne, which signals neither.

    # asgi_daphne.py, for: daphne example_project.asgi_daphne:application
    application = DaphneLifespan(application)

Sends the lifespan messages that Daphne does not send: startup once its reactor runs, before the
first request is read; shutdown when the reactor is about to stop. After a failed startup, Daphne
exits with status 1.

Put it outermost. It does not hold up early requests, so probes get a response at once; other
requests wait further in, in :class:`~asgi_middleware.LifespanMiddleware`.
"""

import asyncio
import logging
import sys
from typing import Any, cast

# Imported first: it installs the reactor that runs on asyncio's event loop.
import daphne.server  # type: ignore[import-untyped]  # noqa: F401  # pyright: ignore[reportMissingTypeStubs]
from twisted.internet import defer, reactor

from ..types import ASGIApp, Message, Receive, Scope, Send
from .cycle import SCOPE
from .timeouts import PATIENCE

logger = logging.getLogger(__name__)


class DaphneLifespan:
    """Runs the lifespan of *app* for as long as Daphne's reactor runs.

    Daphne cancels all requests in flight as soon as it is told to stop. With this class they
    continue until the app has shut down, and the app's shutdown waits for them. Under any other
    server, this class does nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        # One is enough: a process has one reactor, which runs once.
        self._lifespan: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._calls: set[asyncio.Future[None]] = set()
        self._started = self._failed = False
        self._stopping = False
        twisted: Any = reactor
        twisted.callWhenRunning(self._start)
        # Daphne adds its own trigger, which cancels requests, only when it runs: ours comes first.
        twisted.addSystemEventTrigger("before", "shutdown", self._stop)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._lifespan is None:
            return await self.app(scope, receive, send)

        call = asyncio.ensure_future(self.app(scope, receive, send))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)
        try:
            await asyncio.shield(call)
        except asyncio.CancelledError:
            if not self._stopping:
                call.cancel()
            await call

    def _start(self) -> None:
        # The loop that Daphne is about to run, and uses for each request.
        self._messages.put_nowait({"type": "lifespan.startup"})
        self._lifespan = asyncio.get_event_loop().create_task(self._live(), name="lifespan")

    def _stop(self) -> object:
        """Return a Deferred for which the reactor waits before it closes connections."""
        self._stopping = True
        if self._lifespan is None:
            return None
        self._messages.put_nowait({"type": "lifespan.shutdown"})
        ending = asyncio.ensure_future(self._end(self._lifespan))
        return cast("Any", defer.Deferred).fromFuture(ending)

    async def _live(self) -> None:
        try:
            await self.app(SCOPE, self._messages.get, self._send)
        except Exception as error:
            if not self._failed:
                level = logging.ERROR if self._started else logging.DEBUG
                logger.log(level, "the app's lifespan ended with an error", exc_info=error)

    async def _end(self, lifespan: "asyncio.Task[None]") -> None:
        await asyncio.wait({lifespan})
        calls = set(self._calls)
        for call in calls:
            call.cancel()
        if calls:  # the interpreter would crash at exit in tasks that are still running
            await asyncio.wait(calls, timeout=PATIENCE)

    async def _send(self, message: Message) -> None:
        self._started |= message["type"] == "lifespan.startup.complete"
        if message["type"].endswith(".failed"):
            self._failed = True
            logger.error("%s: %s", message["type"], message.get("message", ""))
        if message["type"] == "lifespan.startup.failed":
            # Not raised here, where the app could catch it. There is no connection yet that the
            # reactor would have to close.
            asyncio.get_running_loop().call_soon(sys.exit, 1)
