"""How a process ends while requests are open.

A drain goes through four stages, from left to right and never back. Each cell shows the stage after
the event, and *server* if the server is then told to stop.

=====================  ===============  ===============  ==================  ===========
event                  serving          hold             grace               over
=====================  ===============  ===============  ==================  ===========
first signal           hold [1]_        grace, server    server              server
another signal                          grace, server    over, server [2]_   server
``Drain.begin()``      hold
``max_requests``       hold
the hold has passed                     grace [3]_
shutdown               grace            grace
the grace has passed                                     over
``Countdown.end()``    over             over             over
=====================  ===============  ===============  ==================  ===========

.. [1] With a hold of 0 seconds: grace, server.
.. [2] Within a second of the previous signal: only server. The two signals count as one.
.. [3] Also *server*, unless ``Drain.begin()`` began the drain: its caller stops the server.

The first event also withdraws readiness. Requests are served until the drain is over. Then the
app receives a disconnect for each connection that is still open, and half a second later its
``send()`` raises (``connections.py``).
"""

import asyncio
import logging
import secrets
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from types import FrameType
from typing import Protocol

from .. import _options as options
from .._threads import is_below_sync_code
from ..readiness import Readiness
from .signals import SignalChain

logger = logging.getLogger(__name__)

# Two signals within this many seconds count as one: a terminal signals a whole group of processes,
# and a parent among them then signals its children again.
_ONE_DECISION = 1.0
# The seconds between the disconnect and the error. Django needs a turn of the loop to react to the
# disconnect. It must not get the error first, because it would then not close its response.
_REACTION = 0.5


@dataclass(frozen=True, slots=True)
class Drain:
    """How a process with open requests ends; an option of :class:`LifespanMiddleware`.

        LifespanMiddleware(app, drain=Drain(grace=10, hold=5))

    * ``hold``: seconds from the first SIGTERM, SIGINT or SIGQUIT until the server is told to stop.
      Meanwhile ``/readyz`` returns 503, so that a load balancer sends requests elsewhere; requests
      that still arrive are served. Works on uvicorn and Daphne; hypercorn and granian stop
      listening at once.
    * ``grace``: seconds from then until ``receive()`` returns ``http.disconnect``, responses are
      completed, and WebSockets are closed with 1012.

    Raises :class:`ConfigurationError` if either is not a number of seconds, 0 or more.
    """

    grace: float = 10.0
    hold: float = 0.0
    countdowns: "set[Countdown]" = field(
        default_factory=set["Countdown"], init=False, repr=False, compare=False
    )
    """The countdowns of the running apps, for :meth:`begin`."""

    def __post_init__(self) -> None:
        options.check(
            "Drain",
            options.seconds("grace", self.grace, zero=True, example=10.0),
            options.seconds("hold", self.hold, zero=True, example=5.0),
        )

    def begin(self) -> None:
        """Begin the drain as a first signal does, in a program that stops its server itself.

            drain.begin()
            server.should_exit = True  # of uvicorn

        You can call it from any thread or signal handler, and more than once. It does not stop the
        server; your program does that.
        """
        for countdown in tuple(self.countdowns):
            countdown.begin()


class Stage(IntEnum):
    """How far a drain has come."""

    SERVING = 0
    HOLD = 1
    GRACE = 2
    OVER = 3


class Connection(Protocol):
    """A request or a WebSocket, as a drain sees it."""

    @property
    def kind(self) -> str:
        """One of ``KINDS``."""
        ...

    def end(self) -> None:
        """Let the app receive a disconnect."""

    def reset(self) -> None:
        """Let the app's ``send()`` raise."""


# The log counts connections by kind. A stream is a response that has started but not ended.
KINDS = ("requests", "streams", "WebSockets")


class Countdown:
    """The drain of one cycle, from the first signal or shutdown until it is over."""

    def __init__(
        self,
        drain: Drain,
        readiness: Readiness,
        max_requests: int | None = None,
        max_requests_jitter: int = 0,
    ) -> None:
        self._stage = Stage.SERVING
        self._drain = drain
        self._readiness = readiness
        self.loop = asyncio.get_running_loop()
        self._signals = SignalChain(self._on_signal)
        self._began_at: float | None = None
        self._signalled_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connections: set[Connection] = set()
        self._none_open = asyncio.Event()
        self._requests_left = max_requests
        if max_requests is not None:
            # Not `random`: forked workers share its state, and would all end at once.
            self._requests_left = max_requests + secrets.randbelow(max_requests_jitter + 1)
        drain.countdowns.add(self)

    @property
    def over(self) -> bool:
        return self._stage is Stage.OVER

    def listen(self) -> None:
        """Handle signals from now on."""
        self._signals.install()
        missing: list[str] = []
        reason = self._signals.deafness()
        if reason and not is_below_sync_code():  # as in an async test of Django's
            missing.append("no signal begins the drain")
        if self._requests_left is not None and not self._signals.can_terminate:
            missing.append("max_requests has no effect")
            self._requests_left = None
        if missing:
            logger.warning("%s: %s", " and ".join(missing), reason or "nothing handles SIGTERM")

    def begin(self, why: str = "Drain.begin()") -> None:
        """Begin the drain, from any thread, without telling the server to stop."""
        self._withdraw()
        with suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._begin, why, None)

    def shut_down(self) -> None:
        """Begin the grace period, unless it has begun already."""
        self._advance(Stage.GRACE, "shutdown")

    def end(self) -> None:
        """End the connections that are open, as if the grace period had passed."""
        self._advance(Stage.OVER, "shutdown")

    async def drained(self) -> None:
        """Wait until the drain is over and no connection is open."""
        await self._none_open.wait()

    def close(self) -> None:
        """Give the signals back to the server."""
        self._drain.countdowns.discard(self)
        self._signals.remove()
        self._stop_timer()
        if self._began_at is not None:
            logger.info("everything is closed, %.1f s after the drain began", self._age())

    def add(self, connection: Connection) -> None:
        """Count *connection*, which the drain may end from now on."""
        self._connections.add(connection)
        if self._requests_left is not None:
            self._requests_left -= 1
            if self._requests_left == 0:
                self._withdraw()
                self._begin("max_requests", self._signals.terminate)

    def discard(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._look_for_open()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # This may run between any two instructions, so it leaves all other work to the event loop.
        self._withdraw()
        before, self._signalled_at = self._signalled_at, time.monotonic()
        later = self.loop.call_soon_threadsafe
        name = signal.Signals(number).name
        if before is None:
            # Other servers on this loop get the signal only after our hold. Their drains begin now,
            # so that they do not hold a second time.
            for countdown in tuple(self._drain.countdowns - {self}):
                if countdown.loop is self.loop:
                    countdown.begin(name)
        if before is None and self._stage is Stage.SERVING and self._drain.hold:
            later(self._begin, name, partial(self._signals.pass_on, number, frame))
            return
        if before is None or self._signalled_at - before <= _ONE_DECISION:
            later(self._advance, Stage.GRACE, name)
        else:
            later(self._end_stage)
        self._signals.pass_on(number, frame)

    def _withdraw(self) -> None:
        self._readiness.withdraw("draining")

    def _begin(self, why: str, tell: Callable[[], object] | None) -> None:
        """Begin the hold; after it, *tell* is called to stop the server."""
        if self._advance(Stage.HOLD, why):
            self._start_timer(self._drain.hold, self._end_hold, tell)

    def _end_hold(self, tell: Callable[[], object] | None) -> None:
        self._advance(Stage.GRACE)
        if tell is not None:
            tell()

    def _end_stage(self) -> None:
        self._advance(Stage.OVER if self._stage is Stage.GRACE else Stage.GRACE)

    def _advance(self, stage: Stage, why: str = "") -> bool:
        """Enter *stage*, and return True, unless the drain has already reached it."""
        if stage <= self._stage:
            return False
        if self._stage is Stage.SERVING:
            self._began_at = time.monotonic()
            logger.info("the drain begins (%s); open: %s", why, self._numbers())
        self._stage = stage
        self._stop_timer()
        if stage is Stage.GRACE:
            self._start_timer(self._drain.grace, self._advance, Stage.OVER)
        elif stage is Stage.OVER:
            logger.info(
                "the grace period is over, %.1f s after the drain began; ended: %s",
                self._age(),
                self._numbers(),
            )
            self._start_timer(_REACTION, self._reset)
            for connection in self._connections:
                connection.end()
            self._look_for_open()
        return True

    def _reset(self) -> None:
        for connection in self._connections:
            connection.reset()

    def _look_for_open(self) -> None:
        if self.over and not self._connections:
            self._none_open.set()

    def _age(self) -> float:
        return time.monotonic() - (self._began_at or 0.0)

    def _numbers(self) -> str:
        kinds = [connection.kind for connection in self._connections]
        return ", ".join(f"{kind} {kinds.count(kind)}" for kind in KINDS)

    def _start_timer(self, delay: float, call: Callable[..., object], *arguments: object) -> None:
        self._timer = self.loop.call_later(delay, call, *arguments)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
