"""What the live view shows of a request, a WebSocket, a line of the log.

Metadata only: no cookie, no body, and of a path the route. A line of the log is as it was written,
with a path where the log has one, but without its query. Times are in milliseconds.
"""

import logging
import re
import time
from typing import Any

from asgi_middleware.timing import RequestTiming, Timing, WebSocketTiming, reported_status

Event = dict[str, Any]

# Of what was sent; the page shows it under an ID.
SHOWN_HEADERS = (
    "x-request-id",
    "server-timing",
    "vary",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
)
# A query may hold secrets, and servers log it.
_QUERY = re.compile(r"\?[^\s\"']*")


def event_of(record: Timing) -> Event:
    """Return the event of a record, once that has ended."""
    if isinstance(record, WebSocketTiming):
        return _of_socket(record)
    return _of_request(record)


def _of_request(record: RequestTiming) -> Event:
    sent = _headers(record.scope.get("state", {}).get("sent", ()))
    return {
        "kind": "request",
        **_common(record),
        "method": record.method,
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
    """Return the event of a line of the log, without its traceback."""
    return {
        "kind": "log",
        "id": request_id,
        "at": round(line.created * 1000),
        "level": line.levelname,
        "logger": line.name,
        "message": _QUERY.sub("?…", line.getMessage())[:500],
    }


def cors_decision(record: RequestTiming, sent: dict[str, str]) -> str | None:
    """Return what became of a request of another origin; None for one that names no origin."""
    asked = _headers(record.scope.get("headers", ()))
    if "origin" not in asked:
        return None
    decision = "allowed" if "access-control-allow-origin" in sent else "refused"
    is_preflight = record.method == "OPTIONS" and "access-control-request-method" in asked
    return f"preflight {decision}" if is_preflight else decision


def _common(record: Timing) -> Event:
    # The record's clock is monotonic; how long ago it started is the same on both.
    age = record.clock() - record.started
    return {
        "id": record.request_id,
        "at": round((time.time() - age) * 1000),
        "route": record.route,
        "outcome": record.outcome,
        "duration": _milliseconds(record.duration),
    }


def _headers(pairs: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 2)
