"""An access log: one line for each request, and one for each WebSocket.

LOGGING = {
    ...
    "loggers": {"asgi_middleware.access": {"level": "INFO", "handlers": ["console"]}},
}
"""

import logging
from collections.abc import Collection, Iterator
from typing import Any

from .. import _options as options
from .._paths import Paths
from .labels import cut
from .quoting import quoted_address, quoted_method, quoted_path
from .record import RequestTiming, Timing, WebSocketTiming, reported_status

_REQUEST_LINE = (
    "%s %s %s ttfb_ms=%s duration_ms=%s bytes_sent=%s outcome=%s client=%s request_id=%s route=%s"
)
_WEBSOCKET_LINE = (
    "WEBSOCKET %s close_code=%s accepted_ms=%s duration_ms=%s outcome=%s client=%s"
    " request_id=%s route=%s"
)
_HANDSHAKE_LINE = _WEBSOCKET_LINE.replace("%s", "%s status=%s", 1)

_INVISIBLE = """\
the access log is not visible: the lines of %r reach no handler at INFO; add this to LOGGING:
"version": 1,
"disable_existing_loggers": False,
"handlers": {"access": {"class": "logging.StreamHandler"}},
"loggers": {"%s": {"handlers": ["access"], "level": "INFO"}},"""

logger = logging.getLogger(__name__)


class AccessLog:
    """An observer that logs one INFO line for each request, once the response is complete.

        TimingMiddleware(app, observers=[AccessLog(skip_paths=["/livez", "/readyz"])])

    * ``logger``: the name of the logger. If its lines reach no handler when the first request
      comes, a WARNING says so, and shows what to add to ``LOGGING``.
    * ``skip_paths``: paths that are not logged, such as those of probes, below ``root_path``.
      ``/static/*`` stands for every path that starts with ``/static/``.

    A text formatter finds the fields in the message; a JSON formatter finds them as attributes of
    the log record: ``method``, ``path``, ``status``, ``ttfb_ms``, ``duration_ms``, ``bytes_sent``,
    ``outcome``, ``client`` and ``route``. A field without a value is ``-`` in the message and None
    as an attribute. The status is 499 if the client left before there was one. The path is
    percent-encoded. Its query is left out, because queries may contain secrets. Anything
    longer than 2,048 characters is cut. ``request_id`` is in the message; ``RequestIDFilter`` sets
    the attribute.

    The line of a WebSocket has ``path``, ``close_code``, ``accepted_ms``, ``duration_ms``,
    ``outcome``, ``client`` and ``route``, and ``status`` if the handshake failed.

    Raises :class:`ConfigurationError` for options that cannot work.
    """

    def __init__(
        self, logger: str = "asgi_middleware.access", skip_paths: Collection[str] = ()
    ) -> None:
        options.check(
            "AccessLog",
            _problems_with_logger(logger),
            options.paths("skip_paths", skip_paths, ["/livez"]),
        )
        self._logger = logging.getLogger(logger)
        self._skip_paths = Paths(skip_paths)
        self._is_checked = False

    def __repr__(self) -> str:
        return options.repr_of(self, logger=self._logger.name, skip_paths=self._skip_paths.written)

    @property
    def logger_name(self) -> str:
        """The name of the logger that gets the lines."""
        return self._logger.name

    @property
    def is_visible(self) -> bool:
        """Whether any handler gets the lines."""
        return _reaches_a_handler(self._logger)

    def started(self, record: Timing) -> None:  # noqa: ARG002
        """Warn once if no handler gets the lines."""
        if not self._is_checked:
            self._is_checked = True
            if not self.is_visible:
                name = self._logger.name
                logger.warning(_INVISIBLE, name, name)

    def responded(self, record: Timing) -> None:
        if not self._logger.isEnabledFor(logging.INFO) or record.scope in self._skip_paths:
            return
        if isinstance(record, RequestTiming):
            line, fields = _REQUEST_LINE, _request_fields(record)
        else:
            line = _HANDSHAKE_LINE if record.accepted is None else _WEBSOCKET_LINE
            fields = _websocket_fields(record)
        # A list is faster than a generator here.
        shown = ["-" if value is None else value for value in fields.values()]
        shown.insert(-1, record.request_id or "-")
        self._logger.info(line, *shown, extra=fields)

    def finished(self, record: Timing) -> None:
        """Do nothing: the line is already logged."""


# The fields are in the order of the line. The request ID goes before the last field, the route.


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
        "route": cut(record.route),
    }


def _websocket_fields(record: WebSocketTiming) -> dict[str, Any]:
    failed = {"status": reported_status(record)} if record.accepted is None else {}
    return {
        "path": quoted_path(record),
        **failed,
        "close_code": record.close_code,
        "accepted_ms": _milliseconds(record.accepted),
        "duration_ms": _milliseconds(record.duration),
        "outcome": record.outcome,
        "client": quoted_address(record),
        "route": cut(record.route),
    }


def _milliseconds(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _problems_with_logger(name: object) -> Iterator[str]:
    if name in ("", "root"):
        yield (
            f"logger: {name!r} is the root logger, which gets the lines of all others too;"
            " use 'asgi_middleware.access'"
        )
    else:
        yield from options.text("logger", name, "asgi_middleware.access")


def _reaches_a_handler(logger: logging.Logger) -> bool:
    """Tell whether any handler gets an INFO line of *logger*."""
    if not logger.isEnabledFor(logging.INFO):
        return False
    each: logging.Logger | None = logger
    while each is not None:
        for handler in each.handlers:
            if handler.level <= logging.INFO and not isinstance(handler, logging.NullHandler):
                return True
        each = each.parent if each.propagate else None
    return False
