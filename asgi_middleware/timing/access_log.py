"""An access log: one line for each request and WebSocket, once it has ended.

LOGGING = {
    ...
    "loggers": {"asgi_middleware.access": {"level": "INFO", "handlers": ["console"]}},
}
"""

import logging
from collections.abc import Collection
from typing import Any
from urllib.parse import quote

from ..errors import ConfigurationError
from .labels import KNOWN_METHODS
from .record import RequestTiming, Timing, WebSocketTiming, reported_status

# What a path holds as it is (RFC 3986, section 3.3), besides letters, digits and "_.-~".
_PATH_CHARACTERS = "/!$&'()*+,;=:@"
# What a method holds (RFC 9110, section 9.1): a token.
_METHOD_CHARACTERS = "!#$&'*+^`|"
# What an address holds: those of IPv6, and a zone.
_ADDRESS_CHARACTERS = ":[]%"

_REQUEST_LINE = (
    "%s %s %s ttfb_ms=%s duration_ms=%s bytes_sent=%s outcome=%s client=%s request_id=%s route=%s"
)
_SOCKET_LINE = (
    "WEBSOCKET %s close_code=%s accepted_ms=%s duration_ms=%s outcome=%s client=%s"
    " request_id=%s route=%s"
)


class AccessLog:
    """An observer that writes one INFO line for each request, once it has ended.

    * ``logger``: the name of the logger.
    * ``skip_paths``: paths that are left out, as they stand in ``scope["path"]``: those
      of probes.

    The fields are arguments of the message, for text, and attributes of the log record,
    for JSON: ``method``, ``path``, ``status``, ``ttfb_ms``, ``duration_ms``,
    ``bytes_sent``, ``outcome``, ``client``, ``route``. What is unknown is ``-`` in the
    one and None in the other. The status is 499 where the client left before there was
    one. The path is percent-encoded, and goes without its query, which may hold secrets.
    ``request_id`` is no attribute: it is for ``RequestIDFilter`` to set.

    A WebSocket's line has ``close_code`` and ``accepted_ms`` in place of what it lacks.

    Raises :class:`ConfigurationError` for paths that can match none.
    """

    def __init__(
        self, logger: str = "asgi_middleware.access", skip_paths: Collection[str] = ()
    ) -> None:
        if isinstance(skip_paths, str):
            problems = [f"skip_paths: {skip_paths!r} is one string; write [{skip_paths!r}]"]
        else:
            problems = [
                f"skip_paths: {path!r} does not start with a slash; write {'/' + path!r}"
                for path in skip_paths
                if not path.startswith("/")
            ]
        if problems:
            raise ConfigurationError("AccessLog", problems)
        self._logger = logging.getLogger(logger)
        self._skip_paths = frozenset(skip_paths)

    def started(self, record: Timing) -> None:
        """Nothing yet: the line is written at the end."""

    def finished(self, record: Timing) -> None:
        if not self._logger.isEnabledFor(logging.INFO):
            return
        if record.scope["path"] in self._skip_paths:
            return
        if isinstance(record, WebSocketTiming):
            line, fields = _SOCKET_LINE, _of_socket(record)
        else:
            line, fields = _REQUEST_LINE, _of_request(record)
        *values, route = fields.values()
        arguments = (*values, record.request_id, route)
        self._logger.info(
            line, *("-" if value is None else value for value in arguments), extra=fields
        )


def quoted_path(record: Timing) -> str:
    """Return the path so that it can forge no line: a server hands it down decoded."""
    return quote(record.scope["path"], safe=_PATH_CHARACTERS, errors="replace")


def quoted_method(record: RequestTiming) -> str:
    """Return the method so that it can forge no line: not every server looks at it."""
    if record.method in KNOWN_METHODS:
        return record.method
    return quote(record.method, safe=_METHOD_CHARACTERS, errors="replace")


# Both in the order of the line, the route last.


def _of_request(record: RequestTiming) -> dict[str, Any]:
    return {
        "method": quoted_method(record),
        "path": quoted_path(record),
        "status": reported_status(record),
        "ttfb_ms": _milliseconds(record.ttfb),
        "duration_ms": _milliseconds(record.duration),
        "bytes_sent": record.bytes_sent,
        "outcome": record.outcome,
        "client": _client(record),
        "route": record.route,
    }


def _of_socket(record: WebSocketTiming) -> dict[str, Any]:
    return {
        "path": quoted_path(record),
        "close_code": record.close_code,
        "accepted_ms": _milliseconds(record.accepted),
        "duration_ms": _milliseconds(record.duration),
        "outcome": record.outcome,
        "client": _client(record),
        "route": record.route,
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _client(record: Timing) -> str | None:
    """Return the client's address, quoted: behind a proxy it may be what a header said."""
    client = record.scope.get("client")
    if not client or not client[0]:
        return None
    return quote(client[0], safe=_ADDRESS_CHARACTERS, errors="replace")
