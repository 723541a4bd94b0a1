"""Measure each request, tell observers, and show the figures to the browser."""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, cast, runtime_checkable

from ..errors import ConfigurationError
from ..types import ASGIApp, Message, Receive, Scope, Send
from .record import Clock, RequestTiming, _current  # pyright: ignore[reportPrivateUsage]
from .server_timing import entry, joined

logger = logging.getLogger(__name__)


@runtime_checkable
class Observer(Protocol):
    """Hears of each request when it starts and when it has ended. Must not block."""

    def started(self, record: RequestTiming, /) -> object: ...

    def finished(self, record: RequestTiming, /) -> object: ...


Observation = Callable[[RequestTiming], object]


class TimingMiddleware:
    """Keep one :class:`RequestTiming` for each HTTP request.

    Options, all keyword-only:

    * ``observers``: each an :class:`Observer`, or a plain callable for ``finished``
      alone. ``finished`` is called once for every ``started``, when the app has
      returned or raised. One that raises is logged, and the next one runs.
    * ``server_timing``: True sends ``Server-Timing``; a callable on the record is
      asked when the response starts. Off by default: timings tell strangers things.
    * ``ttfb_name``: the entry that holds the time to the first byte.
    * ``precision``: decimals of the milliseconds there.
    * ``clock``: ``() -> float`` in seconds, monotonic.

    Raises :class:`ConfigurationError` for options that cannot work.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        observers: Sequence[Observer | Observation] = (),
        server_timing: bool | Callable[[RequestTiming], bool] = False,
        ttfb_name: str = "app",
        precision: int = 1,
        clock: Clock = time.perf_counter,
    ) -> None:
        problems = [
            f"observers: {observer!r} is no observer; write one with started() and finished(),"
            " or a function of the record"
            for observer in observers
            if not callable(observer) and not isinstance(observer, Observer)
        ]
        if not ttfb_name:
            problems.append("ttfb_name: '' is no name; write 'app'")
        if not 0 <= precision <= 9:
            problems.append(f"precision: {precision!r} is not 0 to 9 decimals; write 1")
        if problems:
            raise ConfigurationError("TimingMiddleware", problems)

        self.app = app
        self._on_started, self._on_finished = _observations(observers)
        self._server_timing = server_timing
        self._ttfb_name = ttfb_name
        self._precision = precision
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)

        record = RequestTiming(scope, self._clock, self._clock())
        state = {**scope.get("state", {}), "timing": record}
        outer = _current.get()
        _current.set(record)
        _tell(self._on_started, record)
        try:
            await self.app({**scope, "state": state}, receive, self._timed(send, record))
        except BaseException as exception:
            record.ended(exception)
            raise
        else:
            record.ended(None)
        finally:
            _tell(self._on_finished, record)
        # As an app called within an app: the caller has its own record back.
        if outer is not None:
            _current.set(outer)

    def _timed(self, send: Send, record: RequestTiming) -> Send:
        """Return a ``send`` that keeps *record* up to date.

        A plain function, and a coroutine around the last message only: duration
        ends when the server has taken that one.
        """
        last = _BODY_ENDS

        def timed(message: Message) -> Awaitable[None]:
            nonlocal last
            kind = message["type"]
            if kind == "http.response.body":
                record.bytes_sent += len(message.get("body", b""))
            elif kind == "http.response.start":
                record.ttfb = record.clock() - record.started
                record.status = message["status"]
                if message.get("trailers", False):
                    last = _TRAILERS_END
                if self._exposed(record):
                    message = {**message, "headers": self._with_server_timing(message, record)}
                return send(message)
            more = last.get(kind)
            if more is None or message.get(more, False) or record.duration is not None:
                return send(message)
            return completing(send(message))

        async def completing(sending: Awaitable[None]) -> None:
            await sending
            record.duration = record.clock() - record.started

        return timed

    def _exposed(self, record: RequestTiming) -> bool:
        if isinstance(self._server_timing, bool):
            return self._server_timing
        try:
            return self._server_timing(record)
        except Exception:
            logger.exception("server_timing failed; the response goes without the header")
            return False

    def _with_server_timing(
        self, message: Message, record: RequestTiming
    ) -> list[tuple[bytes, bytes]]:
        """Return the response's headers and one field of ours, after those of the app."""
        entries = [entry(self._ttfb_name, cast("float", record.ttfb), None, self._precision)]
        entries += [
            entry(phase.name, phase.duration, phase.description, self._precision)
            for phase in record.phases
        ]
        return [*message.get("headers", ()), (b"server-timing", joined(entries))]


# The messages that can be a response's last, each with the field that says that more
# will come. https://asgi.readthedocs.io/en/latest/specs/www.html#response-body-send-event
# and, of extensions.html, the sections on path send, zero copy send and trailers.
_BODY_ENDS = {
    "http.response.body": "more_body",
    "http.response.pathsend": "",
    "http.response.zerocopysend": "more_body",
}
_TRAILERS_END = {"http.response.trailers": "more_trailers"}


def _observations(
    observers: Sequence[Observer | Observation],
) -> tuple[list[Observation], list[Observation]]:
    """Return what is to be called at the start of a request, and at its end."""
    started: list[Observation] = []
    finished: list[Observation] = []
    for observer in observers:
        if isinstance(observer, Observer):
            started.append(observer.started)
            finished.append(observer.finished)
        else:
            finished.append(observer)
    return started, finished


def _tell(observations: list[Observation], record: RequestTiming) -> None:
    for observe in observations:
        try:
            observe(record)
        except Exception:
            logger.exception("the observer %r failed", observe)
