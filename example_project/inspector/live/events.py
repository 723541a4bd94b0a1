"""What the live view shows about a request, a WebSocket or a log line.

It shows only metadata: no cookies, no bodies, no query strings. A log line appears as it was
written, but without query strings. Times are in milliseconds.
"""

import logging
import time
from typing import Any

from asgi_middleware.timing import RequestTiming, Timing, WebSocketTiming, reported_status

from ...logs import without_queries

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
        "streamed": _milliseconds((record.duration or 0) - (record.ttfb or record.duration or 0)),
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


def event_of_line(line: logging.LogRecord, request_id: str | None, record: Timing | None) -> Event:
    """Return the event for a log line of the request of *record*, without its traceback."""
    return {
        "kind": "log",
        "id": request_id,
        "key": record.started if record else None,
        "staff": is_of_staff(record),
        "at": round(line.created * 1000),
        "level": line.levelname,
        "logger": line.name,
        "message": _cut(without_queries(line.getMessage())),
    }


def is_of_staff(record: Timing | None) -> bool:
    """Tell whether ``middleware.py`` has found that a request comes from staff."""
    return isinstance(record, RequestTiming) and record.expose


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
        # Clients can choose the ID of a request, but not this key.
        "key": record.started,
        "staff": is_of_staff(record),
        "at": round((time.time() - age) * 1000),
        "path": _cut(without_queries(record.scope["path"])),
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
