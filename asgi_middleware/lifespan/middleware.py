"""What the server says of start-up and shutdown, or leaves out, and what requests get."""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextvars import Context
from functools import partial
from typing import Literal, cast
from weakref import WeakKeyDictionary

from ..errors import ConfigurationError
from ..readiness import Readiness
from ..types import ASGIApp, Receive, Scope, Send
from .connections import refuse
from .contexts import ContextFactory, name_of
from .cycle import Cycle
from .drain import Drain

logger = logging.getLogger(__name__)

WhenMissing = Literal["start", "warn", "error"]

# Seconds between attempts to start that no server has asked for: doubled each time.
_FIRST_RETRY, _LAST_RETRY = 1.0, 60.0

_MISSING = "a request came, and the server has sent no lifespan.startup"
# Where the server sends none. No "state": each request gets it from us.
_SCOPE = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}


class LifespanMiddleware:
    """Run context managers for as long as the process serves.

    * ``lifespan``: functions that take the state, a dict, and return a context manager,
      async or sync; sync ones run in a thread. They are entered in this order and exited
      in reverse. A mapping that one yields is merged into the state, which views find in
      ``request.scope["state"]`` and consumers in ``self.scope["state"]``.
    * ``startup_timeout``, ``shutdown_timeout``: seconds for the whole of it. Requests in
      flight are awaited in the second.
    * ``when_missing``: what a request does where the server never sends lifespan:
      ``"start"`` first, ``"warn"`` once and go on without state, or ``"error"``.
    * ``readiness``: shared with :class:`HealthMiddleware`.
    * ``drain``: a :class:`Drain`, to end streams and WebSockets at a signal. Without one
      no signal handler is touched.

    An app inside with a lifespan of its own has it run after these, and ended before.
    Raises :class:`ConfigurationError` for options that cannot work.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        lifespan: Sequence[ContextFactory] = (),
        startup_timeout: float = 30.0,
        shutdown_timeout: float = 20.0,
        when_missing: WhenMissing = "start",
        readiness: Readiness | None = None,
        drain: Drain | None = None,
    ) -> None:
        timeouts = {"startup_timeout": startup_timeout, "shutdown_timeout": shutdown_timeout}
        problems = list(_problems(lifespan, timeouts, when_missing, drain))
        if problems:
            raise ConfigurationError("LifespanMiddleware", problems)
        self.app = app
        self._when_missing = when_missing
        readiness = readiness or Readiness()
        self._new_cycle = partial(
            Cycle,
            app,
            tuple(lifespan),
            startup_timeout=startup_timeout,
            shutdown_timeout=shutdown_timeout,
            readiness=readiness,
            drain=drain,
        )
        # Where a request finds the cycle of the loop that it runs on; None once it has ended.
        self._cycles: WeakKeyDictionary[asyncio.AbstractEventLoop, Cycle | None]
        self._cycles = WeakKeyDictionary()
        self._warned = False
        readiness.when_probed = self._probed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._live(scope, receive, send)
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)

        loop = asyncio.get_running_loop()
        if self._is_missing(loop):
            if self._when_missing == "error":
                raise RuntimeError(_MISSING)
            if self._when_missing == "warn":
                self._warn()
                scope = {**scope, "state": {**scope.get("state", {})}}
                return await self.app(scope, receive, send)
            self._start_unasked(loop)
        cycle = self._cycles[loop]
        if cycle is not None and not cycle.settled.is_set():
            await cycle.settled.wait()
        if cycle is None or not cycle.serving:
            return await refuse(scope, receive, send, cycle.retry_after if cycle else 1)
        await cycle.answer(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start, serve and stop as the server says."""
        loop = asyncio.get_running_loop()
        # Before the first await, so that requests which come early find it and wait.
        cycle = self._cycles[loop] = self._new_cycle(scope)
        try:
            await receive()  # lifespan.startup: there is nothing else that it can be
            failure = await cycle.start()
            started = failure is None
            if started:
                # The one scope that is to be filled in place: the server gives each request a
                # copy. https://asgi.readthedocs.io/en/latest/specs/lifespan.html#lifespan-state
                scope.get("state", {}).update(cycle.state)
                failure = await cycle.serve(_until_shutdown(receive, send))
        finally:
            cycle.settled.set()
            self._cycles[loop] = None

        # The last await of all. hypercorn raises here, and serves on if it is not told at
        # once; any server may end its loop now.
        when = "shutdown" if started else "startup"
        if failure is None:
            return await send({"type": f"lifespan.{when}.complete"})
        await send({"type": f"lifespan.{when}.failed", "message": str(failure)})
        if not started:
            raise failure.exception()

    def _is_missing(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Tell whether nothing has started on *loop*, or only failed to, some time ago."""
        cycle = self._cycles.get(loop)
        return loop not in self._cycles or (cycle is not None and cycle.may_be_tried_again)

    def _start_unasked(self, loop: asyncio.AbstractEventLoop) -> None:
        before = self._cycles.get(loop)
        cycle = self._cycles[loop] = self._new_cycle(_SCOPE)
        cycle.attempt = before.attempt + 1 if before else 1
        # A task and a context of its own: the client that came first may leave, and its
        # request's ID has no business here. Kept, as the loop itself does not keep tasks.
        cycle.task = loop.create_task(self._live_unasked(loop, cycle), context=Context())

    async def _live_unasked(self, loop: asyncio.AbstractEventLoop, cycle: Cycle) -> None:
        """Start, and serve until the loop ends."""
        failure = await cycle.start()
        if failure:
            delay = min(_LAST_RETRY, _FIRST_RETRY * 2 ** min(cycle.attempt - 1, 10))
            cycle.retry_at = time.monotonic() + delay
            return
        try:
            await cycle.serve(loop.create_future())
        finally:
            self._cycles[loop] = None

    def _probed(self) -> None:
        """Start if nothing has: a probe may be all that comes before readiness."""
        loop = asyncio.get_running_loop()
        if self._when_missing == "start" and self._is_missing(loop):
            self._start_unasked(loop)

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("%s; requests go on with an empty state", _MISSING)


async def _until_shutdown(receive: Receive, send: Send) -> None:
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown


def _problems(
    lifespan: object, timeouts: Mapping[str, object], when_missing: object, drain: object
) -> Iterator[str]:
    if not isinstance(lifespan, list | tuple):
        way_out = f"[{name_of(lifespan)}]" if callable(lifespan) else "a list of functions"
        yield f"lifespan: {lifespan!r} is no list; write {way_out}"
    else:
        for factory in cast("Sequence[object]", lifespan):
            if not callable(factory):
                yield (
                    f"lifespan: {factory!r} cannot be called; write a function that takes the"
                    " state and returns a context manager"
                )
    for name, seconds in timeouts.items():
        if not isinstance(seconds, int | float) or not seconds > 0:
            yield f"{name}: {seconds!r} leaves no time; write a number of seconds above 0"
    if when_missing not in ("start", "warn", "error"):
        yield f"when_missing: {when_missing!r}; write 'start', 'warn' or 'error'"
    if drain is None:
        return
    shutdown = timeouts["shutdown_timeout"]
    if not isinstance(drain, Drain):
        yield f"drain: {drain!r} is no drain; write Drain() or None"
    elif isinstance(shutdown, int | float) and drain.grace >= shutdown > 0:
        yield (
            f"drain: a grace of {drain.grace:g} s does not end within the shutdown_timeout of"
            f" {shutdown:g} s; write a longer shutdown_timeout"
        )
