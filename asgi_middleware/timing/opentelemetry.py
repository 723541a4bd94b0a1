"""Metrics for OpenTelemetry. Needs ``asgi-middleware[opentelemetry]``."""

from typing import TYPE_CHECKING, cast

from ..errors import ConfigurationError
from .labels import KNOWN_SCHEMES, OTHER, REQUEST_BUCKETS, SOCKET_BUCKETS, method_label
from .record import UNMATCHED, RequestTiming, Timing, WebSocketTiming, reported_status

if TYPE_CHECKING:
    from opentelemetry.metrics import Meter

Attributes = dict[str, str | int]


class OpenTelemetryMetrics:
    """An observer that counts requests and WebSockets in a meter of OpenTelemetry.

    * ``http.server.request.duration``, ``http.server.active_requests``: as in
      https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#http-server. The
      status is 499 where the client left before there was one.
    * ``websocket.server.connection.duration``, ``websocket.server.active_connections``:
      for WebSockets, of which the conventions say nothing.

    Durations are in seconds. ``meter`` is the one called ``asgi_middleware`` of the
    global provider if it is None.

    Raises :class:`ConfigurationError` where opentelemetry-api is not installed.
    """

    def __init__(self, meter: "Meter | None" = None) -> None:
        try:
            from opentelemetry.metrics import get_meter
        except ImportError as error:
            problem = (
                "opentelemetry-api is not installed; write"
                " pip install 'asgi-middleware[opentelemetry]'"
            )
            raise ConfigurationError("OpenTelemetryMetrics", [problem]) from error
        meter = get_meter("asgi_middleware") if meter is None else meter
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
        self._sockets = meter.create_histogram(
            "websocket.server.connection.duration",
            unit="s",
            description="Duration of WebSockets, from the handshake to the close.",
            explicit_bucket_boundaries_advisory=SOCKET_BUCKETS,
        )
        self._active_sockets = meter.create_up_down_counter(
            "websocket.server.active_connections",
            unit="{connection}",
            description="Number of open WebSockets.",
        )

    def started(self, record: Timing) -> None:
        self._count(record, 1)

    def finished(self, record: Timing) -> None:
        self._count(record, -1)
        duration = cast("float", record.duration)
        attributes = {**_known_at_the_start(record), **_known_at_the_end(record)}
        if isinstance(record, WebSocketTiming):
            self._sockets.record(duration, attributes)
        else:
            self._requests.record(duration, attributes)

    def _count(self, record: Timing, change: int) -> None:
        if isinstance(record, WebSocketTiming):
            self._active_sockets.add(change, _known_at_the_start(record))
        else:
            self._active_requests.add(change, _known_at_the_start(record))


def _known_at_the_start(record: Timing) -> Attributes:
    # A proxy's header may have set it, and with some servers to anything.
    scheme = record.scope.get("scheme", "http")
    attributes: Attributes = {"url.scheme": scheme if scheme in KNOWN_SCHEMES else OTHER}
    if isinstance(record, RequestTiming):
        attributes["http.request.method"] = method_label(record)
    return attributes


def _known_at_the_end(record: Timing) -> Attributes:
    """Return the attributes that are "conditionally required", where their conditions hold."""
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
