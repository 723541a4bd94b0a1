"""Measure each request and WebSocket, tell observers, and show the figures to the browser."""

import logging
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from inspect import iscoroutinefunction
from typing import cast

from asgiref.sync import markcoroutinefunction

from .._origins import is_pattern
from .._origins import problem_with as problem_with_origin
from ..errors import ConfigurationError
from ..types import ASGIApp, Header, Message, Receive, Scope, Send
from .observer import Observation, Observer, observations, problem_with, tell
from .record import (
    Clock,
    RequestTiming,
    Timing,
    WebSocketTiming,
    _current,  # pyright: ignore[reportPrivateUsage]
)
from .server_timing import ServerTiming
from .slow import SlowRequests

logger = logging.getLogger(__name__)


class TimingMiddleware:
    """Keep one :class:`RequestTiming` for each HTTP request, one
    :class:`WebSocketTiming` for each WebSocket.

    Options, all keyword-only:

    * ``observers``: each an :class:`Observer`, or a plain callable for ``finished``
      alone. ``finished`` is called once for every ``started``, when the app has
      returned or raised. One that raises is logged, and the next one runs.
    * ``server_timing``: True sends ``Server-Timing``; a callable on the record is
      asked when the response starts. Off by default: timings tell strangers things.
    * ``timing_allow_origin``: origins whose pages may read all of a response's timings,
      ``"*"`` for every one. https://www.w3.org/TR/resource-timing/#sec-timing-allow-origin
    * ``ttfb_name``: the entry that holds the time to the first byte.
    * ``precision``: decimals of the milliseconds there.
    * ``slow_threshold``: seconds after which a request is warned of, once while it still
      runs and once at its end.
    * ``clock``: ``() -> float`` in seconds, monotonic.

    Raises :class:`ConfigurationError` for options that cannot work.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        observers: Sequence[Observer | Observation] = (),
        server_timing: bool | Callable[[RequestTiming], bool] = False,
        timing_allow_origin: Sequence[str] = (),
        ttfb_name: str = "app",
        precision: int = 1,
        slow_threshold: float | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        problems = [
            *(
                f"observers: {problem}"
                for observer in observers
                if (problem := problem_with(observer))
            ),
            *_problems_with_origins(timing_allow_origin),
        ]
        # What a coroutine function returns is true, for everybody.
        if not isinstance(server_timing, bool) and (
            not callable(server_timing) or iscoroutinefunction(server_timing)
        ):
            problems.append(
                f"server_timing: {server_timing!r} is neither a bool nor a plain function of the"
                " record; write True"
            )
        if not ttfb_name:
            problems.append("ttfb_name: '' is no name; write 'app'")
        if not 0 <= precision <= 9:
            problems.append(f"precision: {precision!r} is not 0 to 9 decimals; write 1")
        if slow_threshold is not None and not 0 < slow_threshold < math.inf:
            problems.append(
                f"slow_threshold: {slow_threshold!r} is no positive number of seconds; write 1.0"
            )
        if problems:
            raise ConfigurationError("TimingMiddleware", problems)

        self.app = app
        slow = [] if slow_threshold is None else [SlowRequests(slow_threshold)]
        self._on_started, self._on_finished = observations([*slow, *observers])
        self._exposed = server_timing
        self._server_timing = ServerTiming(ttfb_name, precision)
        allowed = ", ".join(timing_allow_origin).encode("ascii")
        self._timing_allow_origin = [(b"timing-allow-origin", allowed)] if allowed else []
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record: Timing
        if scope["type"] == "http":
            record = RequestTiming(scope, self._clock, self._clock())
            send = self._timed(send, record)
        elif scope["type"] == "websocket":
            record = WebSocketTiming(scope, self._clock, self._clock())
            receive, send = _socket_receive(receive, record), _socket_send(send, record)
        else:
            return await self.app(scope, receive, send)

        state = {**scope.get("state", {}), "timing": record}
        outer = _current.get()
        _current.set(record)
        for observe in self._on_started:
            tell(observe, record)
        try:
            await self.app({**scope, "state": state}, receive, send)
        except BaseException as exception:
            record.ended(exception)
            raise
        else:
            record.ended(None)
        finally:
            for observe in self._on_finished:
                tell(observe, record)
        # As an app called within an app: the caller has its own record back.
        if outer is not None:
            _current.set(outer)

    def _timed(self, send: Send, record: RequestTiming) -> Send:
        """Return a ``send`` that keeps *record* up to date.

        A plain function, and a coroutine around the last message only: duration
        ends when the server has taken that one.
        """
        trailers = False

        def timed(message: Message) -> Awaitable[None]:
            nonlocal trailers
            kind = message["type"]
            if kind == "http.response.body":
                record.bytes_sent += len(message.get("body", b""))
                last = not (message.get("more_body", False) or trailers)
            elif kind == "http.response.start":
                record.ttfb = ttfb = record.clock() - record.started
                record.status = message["status"]
                trailers = message.get("trailers", False)
                if added := self._added(record, ttfb):
                    message = {**message, "headers": [*message.get("headers", ()), *added]}
                return send(message)
            else:
                last = _is_last(message, trailers)
            return _completing(send(message), record) if last else send(message)

        return timed

    def _added(self, record: RequestTiming, ttfb: float) -> list[Header]:
        """Return what goes after the headers of the app."""
        if self._exposed is True or (self._exposed and self._exposes(record)):
            value = self._server_timing.value(record, ttfb)
            return [*self._timing_allow_origin, (b"server-timing", value)]
        return self._timing_allow_origin

    def _exposes(self, record: RequestTiming) -> bool:
        try:
            return cast("Callable[[RequestTiming], bool]", self._exposed)(record)
        except Exception:
            logger.exception("server_timing failed; the response goes without the header")
            return False


async def _completing(sending: Awaitable[None], record: RequestTiming) -> None:
    await sending
    if record.duration is None:
        record.duration = record.clock() - record.started


def _is_last(message: Message, trailers: bool) -> bool:
    """Tell whether *message*, which is no plain part of the body, completes the response.

    https://asgi.readthedocs.io/en/latest/extensions.html: the sections on path send, zero
    copy send and trailers, which come last where the start announced them.
    """
    match message["type"]:
        case "http.response.pathsend":
            return not trailers
        case "http.response.zerocopysend":
            return not (message.get("more_body", False) or trailers)
        case "http.response.trailers":
            return not message.get("more_trailers", False)
        case _:
            return False


def _socket_receive(receive: Receive, record: WebSocketTiming) -> Receive:
    """Return a ``receive`` that sees the client close the socket."""

    async def timed() -> Message:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            # It follows a close of the app's own as well, from some servers with another code.
            if record.close_code is None:
                # https://asgi.readthedocs.io/en/latest/specs/www.html#disconnect-receive-event-ws
                record.close_code = message.get("code", 1005)
            if record.accepted is not None:
                record.closed()
        return message

    return timed


def _socket_send(send: Send, record: WebSocketTiming) -> Send:
    """Return a ``send`` that sees the app accept, refuse and close the socket."""

    def timed(message: Message) -> Awaitable[None]:
        kind = message["type"]
        if kind == "websocket.accept":
            record.accepted = record.clock() - record.started
        elif kind == "websocket.close":
            if record.close_code is None:
                record.close_code = message.get("code", 1000)
            return closing(send(message))
        elif kind == "websocket.http.response.body" and not message.get("more_body", False):
            return closing(send(message))
        return send(message)

    async def closing(sending: Awaitable[None]) -> None:
        await sending
        record.closed()

    # A sync consumer of Channels gives it to async_to_sync, which warns of what looks sync.
    return markcoroutinefunction(timed)


def _problems_with_origins(origins: Sequence[str]) -> list[str]:
    """Return why some of *origins* cannot match any page's, each with the way out."""
    if isinstance(origins, str):
        return [f"timing_allow_origin: {origins!r} is one string; write [{origins!r}]"]
    problems: list[str] = []
    for origin in origins:
        if origin == "*":
            continue
        if is_pattern(origin):
            # https://www.w3.org/TR/resource-timing/#sec-timing-allow-origin
            problems.append(
                f"timing_allow_origin: {origin!r} is a pattern, which this header does not know;"
                " write each origin, or '*'"
            )
        elif fault := problem_with_origin(origin):
            problems.append(f"timing_allow_origin: {fault}")
    return problems
