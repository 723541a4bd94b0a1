"""Metrics for Prometheus. Needs ``asgi-middleware[prometheus]``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from ..errors import ConfigurationError
from .labels import REQUEST_BUCKETS, SOCKET_BUCKETS, method_label
from .record import Timing, WebSocketTiming, reported_status

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Gauge, Histogram


class PrometheusMetrics:
    """An observer that counts requests and WebSockets in a registry of prometheus_client.

    * ``http_server_request_duration_seconds``: a histogram by ``method``, ``status`` and
      ``route``. The status is 499 where the client left before there was one, ``-`` where
      the app was cancelled before that.
    * ``http_server_active_requests``: a gauge by ``method``.
    * ``websocket_server_connection_duration_seconds``: a histogram by ``outcome`` and
      ``route``.
    * ``websocket_server_active_connections``: a gauge.

    A method that is none of the ten known ones counts as ``_OTHER``, a request that no
    URL pattern matched as ``unmatched``. ``registry`` is the library's default one if it
    is None; two observers with one registry share its metrics.

    Raises :class:`ConfigurationError` where prometheus_client is not installed.
    """

    def __init__(self, registry: "CollectorRegistry | None" = None) -> None:
        try:
            from prometheus_client import REGISTRY
        except ImportError as error:
            problem = (
                "prometheus_client is not installed; write"
                " pip install 'asgi-middleware[prometheus]'"
            )
            raise ConfigurationError("PrometheusMetrics", [problem]) from error
        registry = REGISTRY if registry is None else registry
        self._metrics = _created.get(registry) or _Metrics.created(registry)

    def started(self, record: Timing) -> None:
        if isinstance(record, WebSocketTiming):
            self._metrics.active_sockets.inc()
        else:
            self._metrics.active_requests.labels(method_label(record)).inc()

    def finished(self, record: Timing) -> None:
        duration = cast("float", record.duration)
        if isinstance(record, WebSocketTiming):
            self._metrics.active_sockets.dec()
            self._metrics.sockets.labels(record.outcome, record.route).observe(duration)
            return
        method = method_label(record)
        self._metrics.active_requests.labels(method).dec()
        status = reported_status(record)
        self._metrics.requests.labels(
            method, "-" if status is None else str(status), record.route
        ).observe(duration)


@dataclass(frozen=True, slots=True)
class _Metrics:
    requests: "Histogram"
    active_requests: "Gauge"
    sockets: "Histogram"
    active_sockets: "Gauge"

    @classmethod
    def created(cls, registry: "CollectorRegistry") -> "_Metrics":
        from prometheus_client import Gauge, Histogram

        # Of several processes, the gauges of those that live are added up.
        # https://prometheus.github.io/client_python/multiprocess/
        _created[registry] = metrics = cls(
            Histogram(
                "http_server_request_duration_seconds",
                "Duration of HTTP requests, until the last byte was sent.",
                ("method", "status", "route"),
                registry=registry,
                buckets=REQUEST_BUCKETS,
            ),
            Gauge(
                "http_server_active_requests",
                "HTTP requests that are being served.",
                ("method",),
                registry=registry,
                multiprocess_mode="livesum",
            ),
            Histogram(
                "websocket_server_connection_duration_seconds",
                "Duration of WebSockets, from the handshake to the close.",
                ("outcome", "route"),
                registry=registry,
                buckets=SOCKET_BUCKETS,
            ),
            Gauge(
                "websocket_server_active_connections",
                "WebSockets that are open.",
                registry=registry,
                multiprocess_mode="livesum",
            ),
        )
        return metrics


# A registry takes each name once, and a process may well build its stack twice.
_created: "WeakKeyDictionary[CollectorRegistry, _Metrics]" = WeakKeyDictionary()
