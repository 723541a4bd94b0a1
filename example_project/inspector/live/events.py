"""What the live view shows about a request, a WebSocket or a log line.

It shows only metadata: no cookies, no bodies, and routes instead of paths. A log line appears as
it was written, but without queries; it may contain a path. Times are in milliseconds.
"""

import logging
import re
import time
from typing import Any

from asgi_middleware.timing import RequestTiming, Timing, WebSocketTiming, reported_status

Event = dict[str, Any]

# Response headers that the page shows below an ID.
SHOWN_HEADERS = (
    "x-request-id",
    "server-timing",
    "vary",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
)
# Servers log queries, which may hold secrets.
_QUERY = re.compile(r"\?[^\s\"']*")


def event_of(record: Timing) -> Event:
    """Return the event for a record that has ended."""
    if isinstance(record, WebSocketTiming):
        return _of_socket(record)
    return _of_request(record)


def _of_request(record: RequestTiming) -> Event:
    sent = _headers(record.scope.get("state", {}).get("sent", ()))
    return {
        "kind": "request",
        **_common(record),
        "method": _cut(record.method),
        "status": reported_status(record),
        "cors": cors_decision(record, sent),
        "ttfb": _milliseconds(record.ttfb),
        "bytes": record.bytes_sent,
        "phases": [
            {
                "name": phase.name,
                "start": _milliseconds(phase.started - record.started),
                "duration": _milliseconds(phase.duration),
            }
            for phase in record.phases
        ],
        "queries": record.database_queries,
        "database": _milliseconds(record.database_time),
        "sent": {name: sent[name] for name in SHOWN_HEADERS if name in sent},
    }


def _of_socket(record: WebSocketTiming) -> Event:
    return {
        "kind": "websocket",
        **_common(record),
        "accepted": _milliseconds(record.accepted),
        "close_code": record.close_code,
    }


def event_of_line(line: logging.LogRecord, request_id: str) -> Event:
    """Return the event for a log line, without its traceback."""
    return {
        "kind": "log",
        "id": request_id,
        "at": round(line.created * 1000),
        "level": line.levelname,
        "logger": line.name,
        "message": _cut(_QUERY.sub("?…", line.getMessage())),
    }


def cors_decision(record: RequestTiming, sent: dict[str, str]) -> str | None:
    """Return the CORS decision about a request, or None if it has no Origin header."""
    asked = _headers(record.scope.get("headers", ()))
    if "origin" not in asked:
        return None
    decision = "allowed" if "access-control-allow-origin" in sent else "refused"
    is_preflight = record.method == "OPTIONS" and "access-control-request-method" in asked
    return f"preflight {decision}" if is_preflight else decision


def _common(record: Timing) -> Event:
    # The record's clock is monotonic. The age of the request is the same on both clocks.
    age = record.clock() - record.started
    return {
        "id": record.request_id,
        "at": round((time.time() - age) * 1000),
        "route": _cut(record.route),
        "outcome": record.outcome,
        "duration": _milliseconds(record.duration),
    }


def _headers(pairs: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


def _cut(text: str) -> str:
    return text if len(text) <= 500 else f"{text[:499]}…"


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
