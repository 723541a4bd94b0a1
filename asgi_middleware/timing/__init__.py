"""See where the time of each request goes.

    application = TimingMiddleware(
        get_asgi_application(), observers=[AccessLog()], server_timing=True, slow_threshold=5
    )

One record for each request: method, route, status, time to the first byte, duration,
how it ended, and the phases that views add with :func:`measure`. Observers get it at
the start and at the end: an access log, Prometheus, OpenTelemetry, a function of your
own. A browser's network panel shows it as ``Server-Timing``. The route and the time
spent in the database come from :mod:`asgi_middleware.django`.

Belongs inside the request ID, so that an observer's log line carries it, and
outside whatever answers in the app's place, so that it records what the client got.
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
