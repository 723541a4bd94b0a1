"""The labels of metrics, and the buckets of their histograms.

A label has few values, whatever clients send, because each new value is a new time series.
"""

from .record import RequestTiming

# The methods that are "known"; any other is OTHER.
# https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpserverrequestduration
KNOWN_METHODS = frozenset(
    {
        *("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS"),
        *("PATCH", "POST", "PUT", "QUERY", "TRACE"),
    }
)
KNOWN_SCHEMES = frozenset({"http", "https", "ws", "wss"})
OTHER = "_OTHER"

# Seconds, as the same page advises.
REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
# From a second to a day, in seconds. There is no advice for WebSockets.
WEBSOCKET_BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 14400, 86400)


def method_label(record: RequestTiming) -> str:
    return record.method if record.method in KNOWN_METHODS else OTHER
