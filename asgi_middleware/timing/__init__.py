"""See where the time of each request goes.

    application = TimingMiddleware(
        get_asgi_application(), observers=[AccessLog()], server_timing=True, slow_threshold=5
    )

Each request has one record: method, route, status, time to the first byte, duration, outcome, and
the phases that views add with :func:`measure`. Observers get the record when the request starts and
when it ends: an access log, Prometheus, OpenTelemetry, or a function of your own. With
``server_timing``, the network panel of a browser shows the figures. The route and the time in the
database come from :mod:`asgi_middleware.django`.

Put it inside the request ID, so that the log lines of observers carry the ID, and outside every
layer that may respond in place of the app, so that it records what the client got.
"""

from .access_log import AccessLog
from .middleware import TimingMiddleware
from .observer import Observer
from .opentelemetry import OpenTelemetryMetrics
from .prometheus import PrometheusMetrics
from .record import (
    Phase,
    RequestTiming,
    Timing,
    WebSocketTiming,
    current_timing,
    measure,
    reported_status,
)

__all__ = [
    "AccessLog",
    "Observer",
    "OpenTelemetryMetrics",
    "Phase",
    "PrometheusMetrics",
    "RequestTiming",
    "Timing",
    "TimingMiddleware",
    "WebSocketTiming",
    "current_timing",
    "measure",
    "reported_status",
]
