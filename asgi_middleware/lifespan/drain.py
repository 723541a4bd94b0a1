"""The end of a process that still has requests: who is told what, and when.

After the first signal the process is not ready any more. ``hold`` seconds later the
server hears of it and stops listening; ``grace`` seconds after that, whatever is still
going on is told that its client has gone (``connections.py``).
"""

import asyncio
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from .._receive import Listening
from ..errors import ConfigurationError
from ..readiness import Readiness
from ..types import Message, Receive

SIGNALS = (signal.SIGINT, signal.SIGTERM)

# A terminal signals a whole group of processes, and a parent among them then signals its
# children: within this many seconds, two signals are one decision.
_ONE_DECISION = 1.0


@dataclass(frozen=True, slots=True)
class Drain:
    """How a process ends that has requests: the option of :class:`LifespanMiddleware`.

    * ``hold``: seconds from the first SIGTERM or SIGINT until the server hears of it.
      Readiness is 503 meanwhile and requests are served, so that a load balancer looks
      elsewhere. On uvicorn and Daphne; hypercorn and granian stop listening at once.
    * ``grace``: seconds from then until ``receive()`` says ``http.disconnect``, responses
      are completed, and WebSockets are closed with 1012.

    Raises :class:`ConfigurationError` for what is negative.
    """

    grace: float = 10.0
    hold: float = 0.0

    def __post_init__(self) -> None:
        problems = [
            f"{name}: {value!r} is no number of seconds; write 0 or more"
            for name, value in (("grace", self.grace), ("hold", self.hold))
            if not isinstance(value, int | float) or not value >= 0
        ]
        if problems:
            raise ConfigurationError("Drain", problems)


class Draining:
    """The drain of one cycle. ``over`` is true once connections are told to end."""

    def __init__(self, drain: Drain, readiness: Readiness) -> None:
        self.over = False
        self._drain = drain
        self._readiness = readiness
        self._loop = asyncio.get_running_loop()
        self._previous: dict[int, Any] = {}
        self._listening = False
        self._signalled_at: float | None = None
        self._in_grace = False
        self._timer: asyncio.TimerHandle | None = None
        self._connections: set[Listening] = set()

    def listen(self) -> None:
        """Put our handler before that of each signal, where that can be done: the main thread.

        A signal that is ignored stays ignored, and a handler that was not set from Python
        could not be called.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        self._listening = True
        for number in SIGNALS:
            previous = signal.getsignal(number)
            if previous not in (None, signal.SIG_IGN):
                self._previous[number] = previous
                signal.signal(number, self._on_signal)

    def restore(self) -> None:
        """Put the handlers back, but for those that somebody else has replaced since."""
        self._listening = False
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, previous)
        if self._timer is not None:
            self._timer.cancel()

    def begin_grace(self) -> None:
        """Let the grace period begin, and the hold end, if that has not happened yet."""
        if not self._in_grace:
            self._in_grace = True
            self._later(self._drain.grace, self._end)

    @contextmanager
    def listening(
        self, receive: Receive, instead: Callable[[], Awaitable[Message]]
    ) -> Generator[Listening]:
        """Yield what listens to the server, and to the end of the drain."""
        listening = Listening(receive, instead)
        listening.ended = self.over
        self._connections.add(listening)
        try:
            yield listening
        finally:
            self._connections.discard(listening)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # Runs in the main thread between any two instructions: it does as little as can be.
        before, self._signalled_at = self._signalled_at, time.monotonic()
        if self._listening:
            self._readiness.withdraw("draining")
            if before is None and self._drain.hold:
                self._loop.call_soon_threadsafe(self._begin_hold, number, frame)
                return
            hurry = before is not None and self._signalled_at - before > _ONE_DECISION
            self._loop.call_soon_threadsafe(self._hurry if hurry else self.begin_grace)
        self._tell_server(number, frame)

    def _begin_hold(self, number: int, frame: FrameType | None) -> None:
        if not self._in_grace:
            self._later(self._drain.hold, self._end_hold, number, frame)

    def _end_hold(self, number: int, frame: FrameType | None) -> None:
        self.begin_grace()
        self._tell_server(number, frame)

    def _hurry(self) -> None:
        if self._in_grace:
            self._end()
        self.begin_grace()

    def _end(self) -> None:
        self.over = True
        for listening in self._connections:
            listening.end()

    def _later(self, delay: float, call: Callable[..., object], *arguments: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(delay, call, *arguments)

    def _tell_server(self, number: int, frame: FrameType | None) -> None:
        previous = self._previous[number]
        if callable(previous):
            previous(number, frame)
        else:  # nobody handles it: what the system does then
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
