"""An access log: one line for each request and WebSocket, once it has ended.

LOGGING = {
    ...
    "loggers": {"asgi_middleware.access": {"level": "INFO", "handlers": ["console"]}},
}
"""

import logging
from collections.abc import Collection
from typing import Any

from .. import _options as options
from .._paths import path_below_root
from .quoting import quoted_address, quoted_method, quoted_path
from .record import RequestTiming, Timing, WebSocketTiming, reported_status

_REQUEST_LINE = (
    "%s %s %s ttfb_ms=%s duration_ms=%s bytes_sent=%s outcome=%s client=%s request_id=%s route=%s"
)
_WEBSOCKET_LINE = (
    "WEBSOCKET %s close_code=%s accepted_ms=%s duration_ms=%s outcome=%s client=%s"
    " request_id=%s route=%s"
)


class AccessLog:
    """An observer that logs one INFO line for each request, once it has ended.

        TimingMiddleware(app, observers=[AccessLog(skip_paths=["/livez", "/readyz"])])

    * ``logger``: the name of the logger.
    * ``skip_paths``: paths without a line, such as those of probes. They are compared with the
      path below ``root_path``, as Django routes it.

    A text formatter finds the fields in the message, a JSON formatter finds them as attributes of
    the log record: ``method``, ``path``, ``status``, ``ttfb_ms``, ``duration_ms``, ``bytes_sent``,
    ``outcome``, ``client`` and ``route``. A field without a value is ``-`` in the message and None
    as an attribute. The status is 499 if the client left before there was one. The path is
    percent-encoded. Its query is left out, because queries may contain secrets. ``request_id`` is
    not an attribute: ``RequestIDFilter`` sets it.

    The line of a WebSocket has ``path``, ``close_code``, ``accepted_ms``, ``duration_ms``,
    ``outcome``, ``client`` and ``route``.

    Raises :class:`ConfigurationError` for options that cannot work.
    """

    def __init__(
        self, logger: str = "asgi_middleware.access", skip_paths: Collection[str] = ()
    ) -> None:
        options.check(
            "AccessLog",
            options.text("logger", logger, "asgi_middleware.access"),
            options.paths("skip_paths", skip_paths, ["/livez"]),
        )
        self._logger = logging.getLogger(logger)
        self._skip_paths = frozenset(skip_paths)

    def __repr__(self) -> str:
        return options.repr_of(self, logger=self._logger.name, skip_paths=sorted(self._skip_paths))

    def started(self, record: Timing) -> None:
        """Do nothing: the line is logged at the end."""

    def finished(self, record: Timing) -> None:
        if not self._logger.isEnabledFor(logging.INFO):
            return
        if self._skip_paths and path_below_root(record.scope) in self._skip_paths:
            return
        if isinstance(record, WebSocketTiming):
            line, fields = _WEBSOCKET_LINE, _websocket_fields(record)
        else:
            line, fields = _REQUEST_LINE, _request_fields(record)
        *values, route = fields.values()
        arguments = (*values, record.request_id, route)
        self._logger.info(
            line, *("-" if value is None else value for value in arguments), extra=fields
        )


# The fields are in the order of the line. The route is the last, after the request ID.


def _request_fields(record: RequestTiming) -> dict[str, Any]:
    return {
        "method": quoted_method(record),
        "path": quoted_path(record),
        "status": reported_status(record),
        "ttfb_ms": _milliseconds(record.ttfb),
        "duration_ms": _milliseconds(record.duration),
        "bytes_sent": record.bytes_sent,
        "outcome": record.outcome,
        "client": quoted_address(record),
        "route": record.route,
    }


def _websocket_fields(record: WebSocketTiming) -> dict[str, Any]:
    return {
        "path": quoted_path(record),
        "close_code": record.close_code,
        "accepted_ms": _milliseconds(record.accepted),
        "duration_ms": _milliseconds(record.duration),
        "outcome": record.outcome,
        "client": quoted_address(record),
        "route": record.route,
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
