"""Metrics for OpenTelemetry. Needs the extra ``opentelemetry``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from .. import _options as options
from ..errors import ConfigurationError
from .labels import (
    KNOWN_SCHEMES,
    OTHER,
    REQUEST_BUCKETS,
    WEBSOCKET_BUCKETS,
    bucket_problems,
    cut,
    method_label,
)
from .record import UNMATCHED, RequestTiming, Timing, reported_status

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

Attributes = dict[str, str | int]


class OpenTelemetryMetrics:
    """An observer that measures requests and WebSockets with an OpenTelemetry meter.

        TimingMiddleware(app, observers=[OpenTelemetryMetrics()])

    * ``http.server.request.duration``, ``http.server.active_requests``: as in
      https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#http-server. The
      status is 499 if the client left before there was one.
    * ``websocket.server.connection.duration``, ``websocket.server.failed_handshakes``,
      ``websocket.server.active_connections``: for WebSockets that were open, for handshakes
      that failed, and for both. The semantic conventions do not cover WebSockets.

    Durations are in seconds. A request is active until its response is complete. If ``meter`` is
    None, the global provider's meter ``asgi_middleware`` is used. ``buckets`` are the upper
    bounds for requests; an SDK view takes precedence.

    Raises :class:`ConfigurationError` for options that cannot work, and if opentelemetry-api is
    not installed.
    """

    def __init__(
        self, meter: "Meter | None" = None, *, buckets: Sequence[float] = REQUEST_BUCKETS
    ) -> None:
        try:
            from opentelemetry.metrics import Meter, get_meter
        except ImportError as error:
            problem = "opentelemetry-api is not installed; run: pip install opentelemetry-api"
            raise ConfigurationError("OpenTelemetryMetrics", [problem]) from error
        options.check(
            "OpenTelemetryMetrics",
            options.instance("meter", meter, Meter, "get_meter('asgi_middleware')", optional=True),
            bucket_problems(buckets),
        )
        self._buckets = tuple(buckets)
        self._meter = meter = get_meter("asgi_middleware") if meter is None else meter
        self._requests = meter.create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=self._buckets,
        )
        self._active_requests = meter.create_up_down_counter(
            "http.server.active_requests",
            unit="{request}",
            description="Number of active HTTP server requests.",
        )
        self._websockets = meter.create_histogram(
            "websocket.server.connection.duration",
            unit="s",
            description="Duration of WebSockets, from the handshake to the close.",
            explicit_bucket_boundaries_advisory=WEBSOCKET_BUCKETS,
        )
        self._failed_handshakes = meter.create_counter(
            "websocket.server.failed_handshakes",
            unit="{handshake}",
            description="Number of WebSocket handshakes that failed.",
        )
        self._active_websockets = meter.create_up_down_counter(
            "websocket.server.active_connections",
            unit="{connection}",
            description="Number of WebSockets that have not been closed yet.",
        )

    def __repr__(self) -> str:
        return options.repr_of(self, meter=self._meter, buckets=self._buckets)

    def started(self, record: Timing) -> None:
        self._add_active(record, 1)

    def responded(self, record: Timing) -> None:
        self._add_active(record, -1)
        attributes = {**_known_at_the_start(record), **_known_at_the_end(record)}
        duration = cast("float", record.duration)
        if isinstance(record, RequestTiming):
            self._requests.record(duration, attributes)
        elif record.accepted is not None:
            self._websockets.record(duration, attributes)
        else:
            self._failed_handshakes.add(1, attributes)

    def finished(self, record: Timing) -> None:
        """Do nothing: what the app does after its response counts in no metric."""

    def _add_active(self, record: Timing, change: int) -> None:
        is_request = isinstance(record, RequestTiming)
        active = self._active_requests if is_request else self._active_websockets
        active.add(change, _known_at_the_start(record))


def _known_at_the_start(record: Timing) -> Attributes:
    # On some servers, a proxy's header can set the scheme to anything.
    scheme = record.scope.get("scheme", "http")
    attributes: Attributes = {"url.scheme": scheme if scheme in KNOWN_SCHEMES else OTHER}
    if isinstance(record, RequestTiming):
        attributes["http.request.method"] = method_label(record)
    return attributes


def _known_at_the_end(record: Timing) -> Attributes:
    """Return the attributes that are "conditionally required", if their conditions hold."""
    attributes: Attributes = {}
    if record.route != UNMATCHED:
        attributes["http.route"] = cut(record.route)
    status = reported_status(record)
    if status is not None:
        attributes["http.response.status_code"] = status
    # https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/#error-type
    if isinstance(record, RequestTiming) and record.refusal is not None:
        attributes["error.type"] = record.refusal
    elif record.outcome == "error" and record.exception is not None:
        attributes["error.type"] = type(record.exception).__qualname__
    elif status is not None and status >= 500:
        attributes["error.type"] = str(status)
    return attributes
