"""Startup and shutdown, whether the server signals them or not, and what requests get."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal
from weakref import WeakKeyDictionary

from .. import _options as options
from ..readiness import Readiness
from ..types import ASGIApp, Receive, Scope, Send
from .connections import refuse
from .contexts import ContextFactory, context_factories
from .cycle import Cycle, CycleOptions
from .drain import Drain
from .unasked import UnaskedCycle

logger = logging.getLogger(__name__)

WhenMissing = Literal["start", "warn", "error"]

_MISSING = "a request came, but the server has sent no lifespan.startup"


class LifespanMiddleware:
    """Keep context managers open for as long as the process serves.

    * ``lifespan``: functions that take the state, a dict, and return a context manager, async or
      sync; sync ones run in a thread. They are entered in this order and exited in reverse. A
      mapping that one yields is merged into the state, which views find in
      ``request.scope["state"]`` and consumers in ``self.scope["state"]``.
    * ``startup_timeout``, ``shutdown_timeout``: seconds for all contexts together. Shutdown
      includes the wait for requests in flight.
    * ``when_missing``: what a request does if the server never signals startup: ``"start"`` starts
      everything first, ``"warn"`` warns once and goes on without state, ``"error"`` raises.
    * ``readiness``: shared with :class:`HealthMiddleware`.
    * ``drain``: a :class:`Drain`, to end streams and WebSockets at a signal. Without one, no
      signal handler is touched.

    An app inside with a lifespan of its own starts after the contexts and stops before them.

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
        options.check(
            "LifespanMiddleware",
            context_factories("lifespan", lifespan),
            options.seconds("startup_timeout", startup_timeout, example=30.0),
            options.seconds("shutdown_timeout", shutdown_timeout, example=20.0),
            options.choice("when_missing", when_missing, ("start", "warn", "error")),
            options.instance("readiness", readiness, Readiness, "Readiness()", optional=True),
            options.instance("drain", drain, Drain, "Drain()", optional=True),
            _grace(drain, shutdown_timeout),
        )
        self.app = app
        self._when_missing = when_missing
        self._options = CycleOptions(
            lifespan=tuple(lifespan),
            startup_timeout=startup_timeout,
            shutdown_timeout=shutdown_timeout,
            readiness=readiness or Readiness(),
            drain=drain,
        )
        # Where a request finds the cycle of its event loop; None once that cycle has ended.
        self._cycles: WeakKeyDictionary[asyncio.AbstractEventLoop, Cycle | None]
        self._cycles = WeakKeyDictionary()
        self._warned = False
        self._options.readiness.when_probed = self._probed

    def __repr__(self) -> str:
        return options.repr_of(
            self,
            lifespan=list(self._options.lifespan),
            startup_timeout=self._options.startup_timeout,
            shutdown_timeout=self._options.shutdown_timeout,
            when_missing=self._when_missing,
            readiness=self._options.readiness,
            drain=self._options.drain,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._live(scope, receive, send)
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)

        if self._is_missing():
            if self._when_missing == "error":
                raise RuntimeError(_MISSING)
            if self._when_missing == "warn":
                self._warn()
                scope = {**scope, "state": {**scope.get("state", {})}}
                return await self.app(scope, receive, send)
            self._start_unasked()
        cycle = self._cycles[asyncio.get_running_loop()]
        if cycle is not None and not cycle.settled.is_set():
            await cycle.settled.wait()
        if cycle is None or not cycle.serving:
            retry_after = cycle.retry_after if isinstance(cycle, UnaskedCycle) else 1
            return await refuse(scope, receive, send, retry_after)
        await cycle.call_app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start, serve and stop as the server says."""
        loop = asyncio.get_running_loop()
        # Before the first await, so that early requests find the cycle and wait.
        cycle = self._cycles[loop] = Cycle(self.app, scope, self._options)
        try:
            await receive()  # lifespan.startup: nothing else can come
            failure = await cycle.start()
            started = failure is None
            if started:
                # The only scope that is meant to be filled in place: the server gives each request
                # a copy. https://asgi.readthedocs.io/en/latest/specs/lifespan.html#lifespan-state
                scope.get("state", {}).update(cycle.state)
                failure = await cycle.serve(_until_shutdown(receive, send))
        finally:
            cycle.settled.set()
            self._cycles[loop] = None

        # The last await of all. hypercorn raises here, and goes on serving if we do not return at
        # once. Any server may end its loop now.
        when = "shutdown" if started else "startup"
        if failure is None:
            return await send({"type": f"lifespan.{when}.complete"})
        await send({"type": f"lifespan.{when}.failed", "message": str(failure)})
        if not started:
            raise failure.exception()

    def _is_missing(self) -> bool:
        """Tell whether nothing has started on this loop, or a failed start should be repeated."""
        loop = asyncio.get_running_loop()
        if loop not in self._cycles:
            return True
        cycle = self._cycles[loop]
        return isinstance(cycle, UnaskedCycle) and cycle.retry_is_due

    def _start_unasked(self) -> None:
        loop = asyncio.get_running_loop()
        cycle = UnaskedCycle(self.app, self._options, self._cycles.get(loop))
        self._cycles[loop] = cycle
        cycle.begin(ended=partial(self._cycles.__setitem__, loop, None))

    def _probed(self) -> None:
        """Start if nothing has: a probe may be the only request before readiness."""
        if self._when_missing == "start" and self._is_missing():
            self._start_unasked()

    def _warn(self) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("%s; requests are served with an empty state", _MISSING)


async def _until_shutdown(receive: Receive, send: Send) -> None:
    await send({"type": "lifespan.startup.complete"})
    await receive()  # lifespan.shutdown


def _grace(drain: object, shutdown_timeout: object) -> Iterator[str]:
    """Check that the grace period ends before the shutdown does."""
    if not isinstance(drain, Drain) or not isinstance(shutdown_timeout, int | float):
        return
    if drain.grace >= shutdown_timeout > 0:
        yield (
            f"drain: a grace of {drain.grace:g} s does not end within the shutdown_timeout of"
            f" {shutdown_timeout:g} s; use a longer shutdown_timeout"
        )
