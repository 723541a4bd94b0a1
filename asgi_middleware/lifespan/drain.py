"""The end of a process that still has requests.

A drain goes through four stages, from left to right and never back. Each cell shows the stage that
follows an event, and *server* if the server's own handler is then called.

=====================  ===============  ===============  ==================  ===========
event                  serving          hold             grace               over
=====================  ===============  ===============  ==================  ===========
first signal           hold [1]_                         server              server
another signal                          grace, server    over, server [2]_   server
the hold has passed                     grace, server
shutdown               grace            grace
the grace has passed                                     over
=====================  ===============  ===============  ==================  ===========

.. [1] With a hold of 0 seconds: grace, server.
.. [2] Within a second of the signal before it: server. Both signals are then one decision.

The first signal also withdraws readiness. Requests are served until the drain is over. Then the
app receives a disconnect for each connection that is still open (``connections.py``).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from types import FrameType

from .. import _options as options
from .._receive import EndableReceive
from ..readiness import Readiness
from ..types import Message, Receive
from .signals import SignalChain

# A terminal signals a whole group of processes, and a parent among them then signals its
# children: within this many seconds, two signals are one decision.
_ONE_DECISION = 1.0


@dataclass(frozen=True, slots=True)
class Drain:
    """How a process with open requests ends: the option of :class:`LifespanMiddleware`.

        LifespanMiddleware(app, drain=Drain(grace=10, hold=5))

    * ``hold``: seconds from the first SIGTERM or SIGINT until the server is told. Meanwhile
      readiness is 503 but requests are served, so that a load balancer looks elsewhere. It works
      on uvicorn and Daphne; hypercorn and granian stop listening at once.
    * ``grace``: seconds from then until ``receive()`` returns ``http.disconnect``, responses are
      completed, and WebSockets are closed with 1012.

    Raises :class:`ConfigurationError` if either is not a number of seconds, 0 or more.
    """

    grace: float = 10.0
    hold: float = 0.0

    def __post_init__(self) -> None:
        options.check(
            "Drain",
            options.seconds("grace", self.grace, zero=True, example=10.0),
            options.seconds("hold", self.hold, zero=True, example=5.0),
        )


class Stage(IntEnum):
    """How far a drain has come."""

    SERVING = 0
    HOLD = 1
    GRACE = 2
    OVER = 3


class Countdown:
    """The drain of one cycle, from the first signal or shutdown until it is over."""

    def __init__(self, drain: Drain, readiness: Readiness) -> None:
        self._stage = Stage.SERVING
        self._drain = drain
        self._readiness = readiness
        self._loop = asyncio.get_running_loop()
        self._signals = SignalChain(self._on_signal)
        self._signalled_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connections: set[EndableReceive] = set()

    @property
    def over(self) -> bool:
        return self._stage is Stage.OVER

    def listen(self) -> None:
        """Handle signals from now on."""
        self._signals.install()

    def shut_down(self) -> None:
        """Begin the grace period, if no signal has begun it."""
        self._advance(Stage.GRACE)

    def close(self) -> None:
        """Leave the signals to the server again."""
        self._signals.remove()
        self._stop_timer()

    @contextmanager
    def connection(
        self, receive: Receive, instead: Callable[[], Awaitable[Message]]
    ) -> Generator[EndableReceive]:
        """Yield a ``receive`` that returns the message of *instead* once the drain is over."""
        endable = EndableReceive(receive, instead)
        endable.ended = self.over
        self._connections.add(endable)
        try:
            yield endable
        finally:
            self._connections.discard(endable)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # This may run between any two instructions, so it leaves all other work to the event loop.
        self._readiness.withdraw("draining")
        before, self._signalled_at = self._signalled_at, time.monotonic()
        later = self._loop.call_soon_threadsafe
        if before is None and self._stage is Stage.SERVING and self._drain.hold:
            later(self._begin_hold, number, frame)
            return
        if before is None or self._signalled_at - before <= _ONE_DECISION:
            later(self._advance, Stage.GRACE)
        else:
            later(self._end_stage)
        self._signals.pass_on(number, frame)

    def _begin_hold(self, number: int, frame: FrameType | None) -> None:
        if self._advance(Stage.HOLD):
            self._start_timer(self._drain.hold, self._end_hold, number, frame)

    def _end_hold(self, number: int, frame: FrameType | None) -> None:
        self._advance(Stage.GRACE)
        self._signals.pass_on(number, frame)

    def _end_stage(self) -> None:
        self._advance(Stage.OVER if self._stage is Stage.GRACE else Stage.GRACE)

    def _advance(self, stage: Stage) -> bool:
        """Enter *stage*, and tell whether it was still to come."""
        if stage <= self._stage:
            return False
        self._stage = stage
        self._stop_timer()
        if stage is Stage.GRACE:
            self._start_timer(self._drain.grace, self._advance, Stage.OVER)
        elif stage is Stage.OVER:
            for endable in self._connections:
                endable.end()
        return True

    def _start_timer(self, delay: float, call: Callable[..., object], *arguments: object) -> None:
        self._timer = self._loop.call_later(delay, call, *arguments)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
