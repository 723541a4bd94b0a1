"""Startup and shutdown, whether or not the server signals them, and the requests in between."""

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
from .cycle import Cycle, CycleOptions, UnaskedCycle
from .drain import Drain
from .state import as_current, state_of

logger = logging.getLogger(__name__)

WhenMissing = Literal["start", "warn", "error"]

_MISSING = "a request has arrived, but the server has not sent lifespan.startup"
_UNASKED = (
    "the server does not signal startup: contexts are opened on the first request, and nothing will"
    " close them. Use --lifespan on with uvicorn and DaphneLifespan with Daphne; if another app"
    " mounts this one, use LifespanMiddleware around that app"
)
_NO_ASYNCIO = (
    "asgi_middleware needs asyncio, and this server runs another event loop, such as trio's; use"
    " hypercorn --worker-class asyncio, or another server"
)


class LifespanMiddleware:
    """Keep context managers open for as long as the process serves.

    * ``lifespan``: functions that take the state, a dict, and return a context manager, async or
      sync; sync ones run in a thread. They are entered in this order and exited in reverse. If a
      context yields a mapping, it is merged into the state, which views find in
      ``request.scope["state"]`` and consumers in ``self.scope["state"]``.
    * ``startup_timeout``, ``shutdown_timeout``: seconds for all contexts together. The latter
      includes the wait for requests in flight.
    * ``when_missing``: how a request is handled if the server never signals startup: ``"start"``
      starts everything first, ``"warn"`` logs a warning once and serves the request with an empty
      state, ``"error"`` raises RuntimeError.
    * ``readiness``: a :class:`Readiness` to share with :class:`HealthMiddleware`.
    * ``drain``: a :class:`Drain`, to end streams and WebSockets after a signal. Without it, signal
      handlers are left alone.
    * ``max_requests``: after this many requests and WebSockets, the process drains and then sends
      itself SIGTERM, so that its supervisor or parent starts a new process. Each process adds a
      random number up to ``max_requests_jitter``. If ``drain`` is None, ``Drain()`` is used.

    An inner app with a lifespan of its own starts after the contexts and stops before them.

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
        max_requests: int | None = None,
        max_requests_jitter: int = 0,
    ) -> None:
        if drain is None and max_requests is not None:
            drain = Drain()
        options.check(
            "LifespanMiddleware",
            context_factories("lifespan", lifespan),
            options.seconds("startup_timeout", startup_timeout, example=30.0),
            options.seconds("shutdown_timeout", shutdown_timeout, example=20.0),
            options.choice("when_missing", when_missing, ("start", "warn", "error")),
            options.instance("readiness", readiness, Readiness, "Readiness()", optional=True),
            options.instance("drain", drain, Drain, "Drain()", optional=True),
            _grace(drain, shutdown_timeout),
            options.whole_number("max_requests", max_requests, 1, example=10_000, optional=True),
            options.whole_number("max_requests_jitter", max_requests_jitter, 0, example=1_000),
        )
        self.app = app
        self._when_missing = when_missing
        self._options = CycleOptions(
            lifespan=tuple(lifespan),
            startup_timeout=startup_timeout,
            shutdown_timeout=shutdown_timeout,
            readiness=readiness or Readiness(),
            drain=drain,
            max_requests=max_requests,
            max_requests_jitter=max_requests_jitter,
        )
        # The cycles of each event loop. An empty list means that all of them have ended.
        self._cycles: WeakKeyDictionary[asyncio.AbstractEventLoop, list[Cycle]]
        self._cycles = WeakKeyDictionary()
        self._warned = False
        self._options.readiness.when_probed = self._probed

    @property
    def readiness(self) -> Readiness:
        """The readiness that startup and shutdown set."""
        return self._options.readiness

    @property
    def lifespan(self) -> Sequence[ContextFactory]:
        """The contexts, in the order in which they are entered."""
        return self._options.lifespan

    @property
    def drain(self) -> Drain | None:
        """How a process with open requests ends."""
        return self._options.drain

    def __repr__(self) -> str:
        return options.repr_of(
            self,
            lifespan=list(self._options.lifespan),
            startup_timeout=self._options.startup_timeout,
            shutdown_timeout=self._options.shutdown_timeout,
            when_missing=self._when_missing,
            readiness=self._options.readiness,
            drain=self._options.drain,
            max_requests=self._options.max_requests,
            max_requests_jitter=self._options.max_requests_jitter,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._live(scope, receive, send)
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)

        loop = _running_loop()
        cycles = self._cycles.get(loop)
        if cycles is None or _retry_is_due(cycles):
            if self._when_missing == "error":
                raise RuntimeError(_MISSING)
            if self._when_missing == "warn":
                self._warn(f"{_MISSING}; requests are served with an empty state")
                state = {**state_of(scope)}
                with as_current(state):
                    return await self.app({**scope, "state": state}, receive, send)
            cycles = self._start_unasked(loop)
        cycle = _cycle_of(scope, cycles)
        if cycle is not None and not cycle.settled.is_set():
            await cycle.settled.wait()
        if cycle is None or not cycle.serving:
            retry_after = cycle.retry_after if isinstance(cycle, UnaskedCycle) else 1
            return await refuse(scope, receive, send, retry_after)
        await cycle.call_app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start, serve and stop when the server says so."""
        try:
            loop = _running_loop()
        except RuntimeError as error:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            raise
        # Before the first await, so that early requests find the cycle and wait.
        cycle = Cycle(self.app, scope, self._options)
        cycles = self._cycles.setdefault(loop, [])
        cycles.append(cycle)
        try:
            await receive()  # lifespan.startup: nothing else can come
            failure = await cycle.start()
            started = failure is None
            if started:
                failure = await cycle.serve(_until_shutdown(receive, send))
        finally:
            cycle.settled.set()
            cycles.remove(cycle)

        # This must be the last await: hypercorn raises here, and goes on serving if we do not
        # return at once; and any server may end its loop now.
        when = "shutdown" if started else "startup"
        if failure is None:
            return await send({"type": f"lifespan.{when}.complete"})
        await send({"type": f"lifespan.{when}.failed", "message": str(failure)})
        if not started:
            raise failure.exception()

    def _start_unasked(self, loop: asyncio.AbstractEventLoop) -> list[Cycle]:
        """Start on this loop, and return its cycles."""
        self._warn(_UNASKED)
        cycles = self._cycles.setdefault(loop, [])
        failed = cycles.pop() if cycles else None
        cycle = UnaskedCycle(self.app, self._options, failed)
        cycles.append(cycle)
        cycle.begin(ended=partial(cycles.remove, cycle))
        return cycles

    def _probed(self) -> None:
        """Start, unless something has: until the process is ready, there may be only probes."""
        loop = _running_loop()
        cycles = self._cycles.get(loop)
        if cycles is None or _retry_is_due(cycles):
            if self._when_missing == "start":
                self._start_unasked(loop)
            else:
                self._warn("the server has not sent lifespan.startup, so /readyz stays at 503")

    def _warn(self, message: str) -> None:
        if not self._warned:
            self._warned = True
            logger.warning(message)


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(_NO_ASYNCIO) from None


def _retry_is_due(cycles: list[Cycle]) -> bool:
    """Tell whether a startup without the server's signal has failed and should be retried."""
    newest = cycles[-1] if cycles else None
    return isinstance(newest, UnaskedCycle) and newest.retry_is_due


def _cycle_of(scope: Scope, cycles: Sequence[Cycle]) -> Cycle | None:
    """Return the cycle that serves a request, or None if all have ended.

    Two servers on one loop have two cycles, for example. The request's state then shows which cycle
    it belongs to; without a state, the newest serving cycle is as good as any.
    """
    if len(cycles) > 1:
        tasks: object = state_of(scope).get("tasks")
        own = [cycle for cycle in cycles if cycle.state["tasks"] is tasks]
        cycles = own or [cycle for cycle in cycles if cycle.serving] or cycles
    return cycles[-1] if cycles else None


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
