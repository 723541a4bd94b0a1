"""Measure each request and WebSocket, notify observers, and send the figures to the browser."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import cast

from .. import _options as options
from .._headers import values
from .._messages import SENT_BY_SERVER, WITHOUT_CONTENT, is_last
from .._origins import is_pattern, problems
from ..types import ASGIApp, Header, Headers, Message, Receive, Scope, Send
from .observer import Observer, ObserverFunction, functions_of, notify, problems_with_observers
from .record import Clock, RequestTiming, Timing, WebSocketTiming, current_record
from .server_timing import ServerTiming
from .slow import SlowRequestLog
from .websocket import WebSocketExchange

logger = logging.getLogger(__name__)


class TimingMiddleware:
    """Keep a :class:`RequestTiming` for each HTTP request and a :class:`WebSocketTiming` for each
    WebSocket.

        TimingMiddleware(app, observers=[AccessLog()], slow_threshold=5)

    Options, all keyword-only:

    * ``observers``: each is an :class:`Observer` or a plain function, which is called like
      ``finished``. Every call of ``started`` is followed by one of ``responded``, and by one of
      ``finished`` once the app has returned or raised. If an observer raises, the error is logged
      and the next observer is called.
    * ``server_timing``: True sends ``Server-Timing``; a function of the record decides for each
      response, as it starts. Off by default, because timings can reveal secrets.
    * ``timing_allow_origin``: the origins whose pages may read all timings of a response,
      ``["*"]`` for all. https://www.w3.org/TR/resource-timing/#sec-timing-allow-origin
    * ``ttfb_name``: the name of the time to the first byte in ``Server-Timing``.
    * ``precision``: the decimal places of milliseconds in ``Server-Timing``, 0 to 9.
    * ``slow_threshold``: the seconds after which a request is logged as slow, once while it
      still runs and once when it has its response.
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
            options.function("server_timing", server_timing, "attrgetter('expose')", arguments=1)
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
        self.observers = tuple(observers)
        slow = [] if slow_threshold is None else [SlowRequestLog(slow_threshold)]
        called = [*slow, *observers]
        self._on_started = functions_of(called, "started")
        self._on_responded = functions_of(called, "responded")
        self._on_finished = functions_of(called, "finished")
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
        clock = self._clock
        if scope["type"] == "http":
            record = RequestTiming(scope, clock, clock())
            send = self._timed(send, record)
        elif scope["type"] == "websocket":
            record = WebSocketTiming(scope, clock, clock())
            exchange = WebSocketExchange(receive, send, record, self._responded)
            receive, send = exchange.receive, exchange.send
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
            record.exception = exception
            raise
        finally:
            if record.outcome is None and record.ended():
                self._responded(record)
            for function in self._on_finished:
                notify(function, record)
        # If another app called this one, restore that app's record.
        if outer is not None:
            current_record.set(outer)

    def _responded(self, record: Timing) -> None:
        for function in self._on_responded:
            notify(function, record)

    def _timed(self, send: Send, record: RequestTiming) -> Send:
        """Return a ``send`` that keeps *record* up to date.

        It is a plain function, which is cheaper than a coroutine. Only the last message needs a
        coroutine, because the duration ends when the server has taken that message.
        """
        trailers = counts = False
        headers: Headers = ()
        length: int | None = None

        def timed(message: Message) -> Awaitable[None]:
            nonlocal trailers, counts, headers, length
            kind = message["type"]
            if kind == "http.response.body":
                if counts:
                    record.bytes_sent += len(message.get("body", b""))
                # is_last(), inlined to save a call for each part of a stream.
                last = not (message.get("more_body", False) or trailers)
            elif kind == "http.response.start" and record.ttfb is None:
                record.ttfb = ttfb = record.clock() - record.started
                record.status = status = message["status"]
                trailers = message.get("trailers", False)
                counts = status not in WITHOUT_CONTENT and record.scope["method"] != "HEAD"
                headers = message.get("headers", ())
                if added := self._headers_to_add(record, ttfb):
                    headers = [*headers, *added]
                    message = {**message, "headers": headers}
                return send(message)
            else:
                last = is_last(message, trailers=trailers)
                if counts and kind in SENT_BY_SERVER:
                    length = _content_length(headers)
            return self._completing(send(message), record, length) if last else send(message)

        return timed

    async def _completing(
        self, sending: Awaitable[None], record: RequestTiming, length: int | None
    ) -> None:
        await sending
        if length is not None:
            record.bytes_sent = length
        if record.settle(record.refusal or "ok") and self._on_responded:
            self._responded(record)

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


def _content_length(headers: Headers) -> int | None:
    """Return the ``Content-Length`` of a response, or None if its headers have no valid one."""
    lengths = values(headers, b"content-length")
    return int(lengths[0]) if len(lengths) == 1 and lengths[0].isdigit() else None


def _problems_with_origin(option: str, origin: str) -> Iterator[str]:
    """Check what ``Timing-Allow-Origin`` can contain: an origin, ``null`` or ``*``.

    https://www.w3.org/TR/resource-timing/#sec-timing-allow-origin
    """
    if origin in ("*", "null"):
        return
    if is_pattern(origin):
        yield (
            f"{option}: {origin!r} is a pattern, which Timing-Allow-Origin does not support;"
            " use '*', or list each origin"
        )
    else:
        yield from problems(option, origin)
