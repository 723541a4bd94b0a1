"""Metrics for Prometheus. Needs the extra ``prometheus``."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast
from weakref import WeakKeyDictionary

from .. import _options as options
from ..errors import ConfigurationError
from .labels import REQUEST_BUCKETS, WEBSOCKET_BUCKETS, bucket_problems, cut, method_label
from .record import RequestTiming, Timing, reported_status

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry


class PrometheusMetrics:
    """An observer that measures requests and WebSockets in a registry of prometheus_client.

        TimingMiddleware(app, observers=[PrometheusMetrics()])

    * ``http_server_request_duration_seconds``: a histogram by ``method``, ``status`` and
      ``route``. The status is 499 if the client left before there was one, and ``-`` if the app
      was cancelled before that.
    * ``http_server_refused_requests_total``: a counter of requests that a limit has ended, by
      ``outcome``, ``status`` and ``route``.
    * ``http_server_active_requests``: a gauge by ``method``.
    * ``websocket_server_connection_duration_seconds``: a histogram by ``outcome`` and
      ``route``, of the WebSockets that were open.
    * ``websocket_server_failed_handshakes_total``: a counter of handshakes that failed, by
      ``outcome``, ``status`` and ``route``.
    * ``websocket_server_active_connections``: a gauge.

    The method of a request is ``_OTHER`` unless it is one of the ten known ones, and its route is
    ``unmatched`` if no URL pattern matches. A request is active until its response is complete.

    If ``registry`` is None, the default registry of the library is used. Two observers with the
    same registry share its metrics. ``buckets`` are the upper bounds for requests, in seconds.

    Raises :class:`ConfigurationError` for options that cannot work, and if prometheus_client is
    not installed.
    """

    def __init__(
        self,
        registry: "CollectorRegistry | None" = None,
        *,
        buckets: Sequence[float] = REQUEST_BUCKETS,
    ) -> None:
        try:
            from prometheus_client import REGISTRY, CollectorRegistry
        except ImportError as error:
            problem = "prometheus-client is not installed; run: pip install prometheus-client"
            raise ConfigurationError("PrometheusMetrics", [problem]) from error
        options.check(
            "PrometheusMetrics",
            options.instance(
                "registry", registry, CollectorRegistry, "CollectorRegistry()", optional=True
            ),
            bucket_problems(buckets),
        )
        self._registry = REGISTRY if registry is None else registry
        self._buckets = tuple(buckets)
        if self._registry not in _created:
            _created[self._registry] = _Metrics(self._registry, self._buckets)
        self._metrics = _created[self._registry]
        options.check("PrometheusMetrics", self._metrics.problems_with_other(self._buckets))

    def __repr__(self) -> str:
        return options.repr_of(self, registry=self._registry, buckets=self._buckets)

    def started(self, record: Timing) -> None:
        if isinstance(record, RequestTiming):
            self._metrics.active_requests.labels(method_label(record)).inc()
        else:
            self._metrics.active_websockets.inc()

    def responded(self, record: Timing) -> None:
        metrics, route = self._metrics, cut(record.route)
        duration = cast("float", record.duration)
        code = reported_status(record)
        status = "-" if code is None else str(code)
        if isinstance(record, RequestTiming):
            method = method_label(record)
            metrics.active_requests.labels(method).dec()
            metrics.requests.labels(method, status, route).observe(duration)
            if record.refusal is not None:
                metrics.refused_requests.labels(record.refusal, status, route).inc()
            return
        metrics.active_websockets.dec()
        if record.accepted is None:
            metrics.failed_handshakes.labels(record.outcome, status, route).inc()
        else:
            metrics.websockets.labels(record.outcome, route).observe(duration)

    def finished(self, record: Timing) -> None:
        """Do nothing: what the app does after its response counts in no metric."""


class _Metrics:
    """Our metrics in one registry."""

    def __init__(self, registry: "CollectorRegistry", buckets: Sequence[float]) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self.buckets = buckets
        self.requests = Histogram(
            "http_server_request_duration_seconds",
            "Duration of HTTP requests, until the last byte was sent.",
            ("method", "status", "route"),
            registry=registry,
            buckets=buckets,
        )
        self.refused_requests = Counter(
            "http_server_refused_requests",
            "HTTP requests that a limit has ended.",
            ("outcome", "status", "route"),
            registry=registry,
        )
        # With several processes, the gauges of the live ones are added up.
        # https://prometheus.github.io/client_python/multiprocess/
        self.active_requests = Gauge(
            "http_server_active_requests",
            "HTTP requests that are being served.",
            ("method",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.websockets = Histogram(
            "websocket_server_connection_duration_seconds",
            "Duration of WebSockets, from the handshake to the close.",
            ("outcome", "route"),
            registry=registry,
            buckets=WEBSOCKET_BUCKETS,
        )
        self.failed_handshakes = Counter(
            "websocket_server_failed_handshakes",
            "WebSocket handshakes that failed.",
            ("outcome", "status", "route"),
            registry=registry,
        )
        self.active_websockets = Gauge(
            "websocket_server_active_connections",
            "WebSockets that have not been closed yet, from the handshake on.",
            registry=registry,
            multiprocess_mode="livesum",
        )

    def problems_with_other(self, buckets: Sequence[float]) -> Iterator[str]:
        if buckets != self.buckets:
            yield (
                f"buckets: {buckets!r} differ from those of the first PrometheusMetrics with"
                f" this registry; use {self.buckets!r}"
            )


# A registry accepts each name once, but a process may build its stack twice.
_created: "WeakKeyDictionary[CollectorRegistry, _Metrics]" = WeakKeyDictionary()
