"""Metrics for Prometheus. Needs ``asgi-middleware[prometheus]``."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from .. import _options as options
from ..errors import ConfigurationError
from .labels import REQUEST_BUCKETS, WEBSOCKET_BUCKETS, method_label
from .record import Timing, WebSocketTiming, reported_status

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Gauge, Histogram


class PrometheusMetrics:
    """An observer that counts requests and WebSockets in a registry of prometheus_client.

        TimingMiddleware(app, observers=[PrometheusMetrics()])

    * ``http_server_request_duration_seconds``: a histogram by ``method``, ``status`` and
      ``route``. The status is 499 if the client left before there was one, and ``-`` if the app
      was cancelled before that.
    * ``http_server_active_requests``: a gauge by ``method``.
    * ``websocket_server_connection_duration_seconds``: a histogram by ``outcome`` and
      ``route``.
    * ``websocket_server_active_connections``: a gauge.

    Any method but the ten known ones counts as ``_OTHER``, and a request that matched no URL
    pattern as ``unmatched``. If ``registry`` is None, the default registry of the library is
    used. Two observers with the same registry share its metrics.

    Raises :class:`ConfigurationError` if prometheus_client is not installed.
    """

    def __init__(self, registry: "CollectorRegistry | None" = None) -> None:
        try:
            from prometheus_client import REGISTRY, CollectorRegistry
        except ImportError as error:
            problem = (
                "prometheus_client is not installed; run: pip install 'asgi-middleware[prometheus]'"
            )
            raise ConfigurationError("PrometheusMetrics", [problem]) from error
        options.check(
            "PrometheusMetrics",
            options.instance(
                "registry", registry, CollectorRegistry, "CollectorRegistry()", optional=True
            ),
        )
        self._registry = REGISTRY if registry is None else registry
        self._metrics = _created.get(self._registry) or _Metrics.created(self._registry)

    def __repr__(self) -> str:
        return options.repr_of(self, registry=self._registry)

    def started(self, record: Timing) -> None:
        if isinstance(record, WebSocketTiming):
            self._metrics.active_websockets.inc()
        else:
            self._metrics.active_requests.labels(method_label(record)).inc()

    def finished(self, record: Timing) -> None:
        duration = cast("float", record.duration)
        if isinstance(record, WebSocketTiming):
            self._metrics.active_websockets.dec()
            self._metrics.websockets.labels(record.outcome, record.route).observe(duration)
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
    websockets: "Histogram"
    active_websockets: "Gauge"

    @classmethod
    def created(cls, registry: "CollectorRegistry") -> "_Metrics":
        from prometheus_client import Gauge, Histogram

        # With several processes, the gauges of those that still run are added up.
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
                buckets=WEBSOCKET_BUCKETS,
            ),
            Gauge(
                "websocket_server_active_connections",
                "WebSockets that are open.",
                registry=registry,
                multiprocess_mode="livesum",
            ),
        )
        return metrics


# A registry accepts each name once, but a process may build its stack twice.
_created: "WeakKeyDictionary[CollectorRegistry, _Metrics]" = WeakKeyDictionary()
