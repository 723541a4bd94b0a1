"""The labels of metrics, and the buckets of their histograms.

A label has only a few values, whatever clients send, because each new value creates a time series.
Long values are cut.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import cast

from .. import _options as options
from .record import RequestTiming

# The methods that the conventions call "known"; any other becomes OTHER.
# https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpserverrequestduration
KNOWN_METHODS = frozenset(
    {
        *("CONNECT", "DELETE", "GET", "HEAD", "OPTIONS"),
        *("PATCH", "POST", "PUT", "QUERY", "TRACE"),
    }
)
KNOWN_SCHEMES = frozenset({"http", "https", "ws", "wss"})
OTHER = "_OTHER"

# In seconds, as the same page recommends.
REQUEST_BUCKETS: Sequence[float] = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.25,
    0.5,
    0.75,
    1,
    2.5,
    5,
    7.5,
    10,
)
# From a second to a day, in seconds. The page recommends nothing for WebSockets.
WEBSOCKET_BUCKETS = (1, 5, 15, 60, 300, 900, 3600, 14400, 86400)


def method_label(record: RequestTiming) -> str:
    return record.method if record.method in KNOWN_METHODS else OTHER


# In characters, for labels and log lines.
MAX_LENGTH = 2048


def cut(text: str) -> str:
    """Return *text*, or its beginning and three dots if it is too long."""
    return text if len(text) <= MAX_LENGTH else f"{text[: MAX_LENGTH - 3]}..."


def bucket_problems(value: object) -> Iterator[str]:
    """Check the upper bounds of a histogram's buckets."""
    given = options.shown(value)
    if isinstance(value, str | bytes) or not isinstance(value, Sequence) or not value:
        yield f"buckets: {given} is not a list of seconds; use [0.1, 1, 10]"
        return
    bounds = cast("Sequence[float]", value)
    problems = [problem for each in bounds for problem in options.seconds("buckets", each)]
    yield from problems
    if not problems and any(a >= b for a, b in pairwise(bounds)):
        yield f"buckets: {given} is not in increasing order; use {sorted(set(bounds))}"
