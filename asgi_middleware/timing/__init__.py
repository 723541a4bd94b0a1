"""See where the time of each request goes.

    application = TimingMiddleware(get_asgi_application(), observers=[print], server_timing=True)

One record for each request: method, status, time to the first byte, duration, how
it ended, and the phases that views add with :func:`measure`. Observers get it at
the end; a browser's network panel shows it as ``Server-Timing``.

Belongs inside the request ID, so that an observer's log line carries it, and
outside whatever answers in the app's place, so that it records what the client got.
"""

from .middleware import Observer, TimingMiddleware
from .record import Phase, RequestTiming, current_timing, measure

__all__ = [
    "Observer",
    "Phase",
    "RequestTiming",
    "TimingMiddleware",
    "current_timing",
    "measure",
]
