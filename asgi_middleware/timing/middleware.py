"""Measure each request and WebSocket, notify observers, and send the figures to the browser."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import cast

from asgiref.sync import markcoroutinefunction

from .. import _options as options
from .._messages import is_last
from .._origins import is_pattern, problems
from ..types import ASGIApp, Header, Message, Receive, Scope, Send
from .observer import Observer, ObserverFunction, functions_of, notify, problems_with_observers
from .record import Clock, RequestTiming, Timing, WebSocketTiming, current_record
from .server_timing import ServerTiming
from .slow import SlowRequestLog

logger = logging.getLogger(__name__)


class TimingMiddleware:
    """Keep a :class:`RequestTiming` for each HTTP request and a :class:`WebSocketTiming` for each
    WebSocket.

        TimingMiddleware(app, observers=[AccessLog()], slow_threshold=5)

    Options, all keyword-only:

    * ``observers``: each is an :class:`Observer`, or a plain function, which is called like
      ``finished``. For every call of ``started`` there is one call of ``finished``, once the app
      has returned or raised. If an observer raises, that is logged, and the next one is called.
    * ``server_timing``: True sends ``Server-Timing``. A function of the record is called when
      the response starts, and decides. Off by default, because timings can give secrets away.
    * ``timing_allow_origin``: the origins whose pages may read all timings of a response,
      ``["*"]`` for all. https://www.w3.org/TR/resource-timing/#sec-timing-allow-origin
    * ``ttfb_name``: the name of the entry for the time to the first byte.
    * ``precision``: how many decimals the milliseconds have there, 0 to 9.
    * ``slow_threshold``: the seconds after which a request is logged as slow, once while it
      still runs and once at its end.
    * ``clock``: ``() -> float`` in seconds, monotonic.

    Raises :class:`ConfigurationError` for options that cannot work.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        observers: Sequence[Observer | ObserverFunction] = (),
        server_timing: bool | Callable[[RequestTiming], bool] = False,
        timing_allow_origin: Sequence[str] = (),
        ttfb_name: str = "app",
        precision: int = 1,
        slow_threshold: float | None = None,
        clock: Clock = time.perf_counter,
    ) -> None:
        options.check(
            "TimingMiddleware",
            problems_with_observers("observers", observers),
            options.function("server_timing", server_timing, "attrgetter('expose')")
            if callable(server_timing)
            else options.boolean("server_timing", server_timing),
            options.strings(
                "timing_allow_origin",
                timing_allow_origin,
                ["https://app.example"],
                each=_problems_with_origin,
            ),
            options.text("ttfb_name", ttfb_name, "app"),
            options.whole_number("precision", precision, 0, 9, example=1),
            options.seconds("slow_threshold", slow_threshold, optional=True),
            options.function("clock", clock, "time.perf_counter"),
        )
        self.app = app
        slow = [] if slow_threshold is None else [SlowRequestLog(slow_threshold)]
        self._on_started, self._on_finished = functions_of([*slow, *observers])
        self._exposes = server_timing
        self._server_timing = ServerTiming(ttfb_name, precision)
        allowed = ", ".join(timing_allow_origin).encode("ascii")
        self._timing_allow_origin = [(b"timing-allow-origin", allowed)] if allowed else []
        self._clock = clock
        self._options = {
            "observers": observers,
            "server_timing": server_timing,
            "timing_allow_origin": timing_allow_origin,
            "ttfb_name": ttfb_name,
            "precision": precision,
            "slow_threshold": slow_threshold,
            "clock": clock,
        }

    def __repr__(self) -> str:
        return options.repr_of(self, **self._options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        record: Timing
        if scope["type"] == "http":
            record = RequestTiming(scope, self._clock, self._clock())
            send = self._timed(send, record)
        elif scope["type"] == "websocket":
            record = WebSocketTiming(scope, self._clock, self._clock())
            receive, send = _websocket_receive(receive, record), _websocket_send(send, record)
        else:
            return await self.app(scope, receive, send)

        state = {**scope.get("state", {}), "timing": record}
        outer = current_record.get()
        current_record.set(record)
        for function in self._on_started:
            notify(function, record)
        try:
            await self.app({**scope, "state": state}, receive, send)
        except BaseException as exception:
            record.ended(exception)
            raise
        else:
            record.ended(None)
        finally:
            for function in self._on_finished:
                notify(function, record)
        # An app may be called within an app. The outer one gets its own record back.
        if outer is not None:
            current_record.set(outer)

    def _timed(self, send: Send, record: RequestTiming) -> Send:
        """Return a ``send`` that keeps *record* up to date.

        It is a plain function, and starts a coroutine for the last message only: the duration
        ends when the server has taken that one.
        """
        trailers = False

        def timed(message: Message) -> Awaitable[None]:
            nonlocal trailers
            kind = message["type"]
            if kind == "http.response.body":
                record.bytes_sent += len(message.get("body", b""))
                # As in is_last(), without a second call for each part of a stream.
                last = not (message.get("more_body", False) or trailers)
            elif kind == "http.response.start":
                record.ttfb = ttfb = record.clock() - record.started
                record.status = message["status"]
                trailers = message.get("trailers", False)
                if added := self._headers_to_add(record, ttfb):
                    message = {**message, "headers": [*message.get("headers", ()), *added]}
                return send(message)
            else:
                last = is_last(message, trailers=trailers)
            return _completing(send(message), record) if last else send(message)

        return timed

    def _headers_to_add(self, record: RequestTiming, ttfb: float) -> list[Header]:
        if self._exposes is True or (self._exposes and self._is_exposed(record)):
            value = self._server_timing.value(record, ttfb)
            return [*self._timing_allow_origin, (b"server-timing", value)]
        return self._timing_allow_origin

    def _is_exposed(self, record: RequestTiming) -> bool:
        try:
            return cast("Callable[[RequestTiming], bool]", self._exposes)(record)
        except Exception:
            logger.exception("server_timing failed, so the response is sent without Server-Timing")
            return False


async def _completing(sending: Awaitable[None], record: RequestTiming) -> None:
    await sending
    if record.duration is None:
        record.duration = record.clock() - record.started


def _websocket_receive(receive: Receive, record: WebSocketTiming) -> Receive:
    """Return a ``receive`` that sees the client close the socket."""

    async def timed() -> Message:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            # It comes after a close by the app as well, with another code on some servers.
            if record.close_code is None:
                # https://asgi.readthedocs.io/en/latest/specs/www.html#disconnect-receive-event-ws
                record.close_code = message.get("code", 1005)
            if record.accepted is not None:
                record.closed()
        return message

    return timed


def _websocket_send(send: Send, record: WebSocketTiming) -> Send:
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

    # A sync consumer of Channels passes it to async_to_sync, which warns about a function that
    # looks sync.
    return markcoroutinefunction(timed)


def _problems_with_origin(option: str, origin: str) -> Iterator[str]:
    """Check an origin, or ``*``, that ``Timing-Allow-Origin`` can contain."""
    if origin == "*":
        return
    if is_pattern(origin):
        # https://www.w3.org/TR/resource-timing/#sec-timing-allow-origin
        yield (
            f"{option}: {origin!r} is a pattern, which Timing-Allow-Origin does not support;"
            " use '*', or list each origin"
        )
    else:
        yield from problems(option, origin)
