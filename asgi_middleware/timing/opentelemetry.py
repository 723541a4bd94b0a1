"""Metrics for OpenTelemetry. Needs ``asgi-middleware[opentelemetry]``."""

from typing import TYPE_CHECKING, cast

from .. import _options as options
from ..errors import ConfigurationError
from .labels import KNOWN_SCHEMES, OTHER, REQUEST_BUCKETS, WEBSOCKET_BUCKETS, method_label
from .record import UNMATCHED, RequestTiming, Timing, WebSocketTiming, reported_status

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

Attributes = dict[str, str | int]


class OpenTelemetryMetrics:
    """An observer that counts requests and WebSockets in a meter of OpenTelemetry.

        TimingMiddleware(app, observers=[OpenTelemetryMetrics()])

    * ``http.server.request.duration``, ``http.server.active_requests``: as in
      https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#http-server. The
      status is 499 if the client left before there was one.
    * ``websocket.server.connection.duration``, ``websocket.server.active_connections``:
      for WebSockets, which the conventions do not mention.

    Durations are in seconds. If ``meter`` is None, the global provider's meter
    ``asgi_middleware`` is used.

    Raises :class:`ConfigurationError` if opentelemetry-api is not installed.
    """

    def __init__(self, meter: "Meter | None" = None) -> None:
        try:
            from opentelemetry.metrics import Meter, get_meter
        except ImportError as error:
            problem = (
                "opentelemetry-api is not installed;"
                " run: pip install 'asgi-middleware[opentelemetry]'"
            )
            raise ConfigurationError("OpenTelemetryMetrics", [problem]) from error
        options.check(
            "OpenTelemetryMetrics",
            options.instance("meter", meter, Meter, "get_meter('asgi_middleware')", optional=True),
        )
        self._meter = meter = get_meter("asgi_middleware") if meter is None else meter
        self._requests = meter.create_histogram(
            "http.server.request.duration",
            unit="s",
            description="Duration of HTTP server requests.",
            explicit_bucket_boundaries_advisory=REQUEST_BUCKETS,
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
        self._active_websockets = meter.create_up_down_counter(
            "websocket.server.active_connections",
            unit="{connection}",
            description="Number of open WebSockets.",
        )

    def __repr__(self) -> str:
        return options.repr_of(self, meter=self._meter)

    def started(self, record: Timing) -> None:
        self._count(record, 1)

    def finished(self, record: Timing) -> None:
        self._count(record, -1)
        duration = cast("float", record.duration)
        attributes = {**_known_at_the_start(record), **_known_at_the_end(record)}
        if isinstance(record, WebSocketTiming):
            self._websockets.record(duration, attributes)
        else:
            self._requests.record(duration, attributes)

    def _count(self, record: Timing, change: int) -> None:
        if isinstance(record, WebSocketTiming):
            self._active_websockets.add(change, _known_at_the_start(record))
        else:
            self._active_requests.add(change, _known_at_the_start(record))


def _known_at_the_start(record: Timing) -> Attributes:
    # With some servers, the header of a proxy may set it to anything.
    scheme = record.scope.get("scheme", "http")
    attributes: Attributes = {"url.scheme": scheme if scheme in KNOWN_SCHEMES else OTHER}
    if isinstance(record, RequestTiming):
        attributes["http.request.method"] = method_label(record)
    return attributes


def _known_at_the_end(record: Timing) -> Attributes:
    """Return the attributes that are "conditionally required", if their conditions hold."""
    attributes: Attributes = {}
    if record.route != UNMATCHED:
        attributes["http.route"] = record.route
    status = reported_status(record) if isinstance(record, RequestTiming) else None
    if status is not None:
        attributes["http.response.status_code"] = status
    # https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/#error-type
    if record.outcome == "error" and record.exception is not None:
        attributes["error.type"] = type(record.exception).__qualname__
    elif status is not None and status >= 500:
        attributes["error.type"] = str(status)
    return attributes
