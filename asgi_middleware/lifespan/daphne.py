"""Start-up and shutdown under Daphne, which has neither.

    # asgi_daphne.py, for: daphne example_project.asgi_daphne:application
    application = DaphneLifespan(application)

Sends the lifespan messages that Daphne does not: start-up when its reactor runs, before
the first request is read; shutdown when it is about to stop. A failed start-up ends
Daphne with status 1.

Belongs outermost. Requests that come early wait further in, in
:class:`~asgi_middleware.LifespanMiddleware`, so that probes do not.
"""

import asyncio
import logging
import sys
from typing import Any, cast

# First: it installs the reactor that runs on asyncio's event loop.
import daphne.server  # type: ignore[import-untyped]  # noqa: F401  # pyright: ignore[reportMissingTypeStubs]
from twisted.internet import defer, reactor

from ..types import ASGIApp, Message, Receive, Scope, Send
from .worker import PATIENCE

logger = logging.getLogger(__name__)

_SCOPE = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}


class DaphneLifespan:
    """Runs the lifespan of *app* for as long as Daphne's reactor runs.

    Daphne cancels whatever is in flight as soon as it is told to stop. Here that goes on
    until the app has shut down, which waits for it. Under another server this does
    nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        # A process has one reactor, and that runs once.
        self._lifespan: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._calls: set[asyncio.Future[None]] = set()
        self._failed = False
        self._stopping = False
        twisted: Any = reactor
        twisted.callWhenRunning(self._start)
        # Daphne adds its own, which cancels, when it runs: ours is called before it.
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
        """Return a Deferred, which the reactor waits for before it closes connections."""
        self._stopping = True
        if self._lifespan is None:
            return None
        self._messages.put_nowait({"type": "lifespan.shutdown"})
        ending = asyncio.ensure_future(self._end(self._lifespan))
        return cast("Any", defer.Deferred).fromFuture(ending)

    async def _live(self) -> None:
        try:
            await self.app(_SCOPE, self._messages.get, self._send)
        except Exception:
            if not self._failed:
                logger.exception("the lifespan of the app has ended")

    async def _end(self, lifespan: "asyncio.Task[None]") -> None:
        await asyncio.wait({lifespan})
        calls = set(self._calls)
        for call in calls:
            call.cancel()
        if calls:  # or the interpreter crashes at its end, in tasks that hang in the middle
            await asyncio.wait(calls, timeout=PATIENCE)

    async def _send(self, message: Message) -> None:
        if message["type"].endswith(".failed"):
            self._failed = True
            logger.error("%s: %s", message["type"], message.get("message", ""))
        if message["type"] == "lifespan.startup.failed":
            # Not from here, where it would be the app's to handle. Nothing is served yet
            # that the reactor would have to close.
            asyncio.get_running_loop().call_soon(sys.exit, 1)
