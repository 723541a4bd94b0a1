"""The format of production's log: one JSON object per line."""

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

# Django and uvicorn attach these objects and colored messages. The request would appear with
# its query, which may hold secrets.
_LEFT_OUT = ("request", "websocket", "color_message")


class JSONFormatter(JsonFormatter):
    """Writes time, level, logger, request ID and message, then whatever ``extra`` has.

    The access log passes its fields as ``extra``: status, duration_ms, route and more.
    """

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "request_id", "message"],
            timestamp="time",
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
            reserved_attrs=[*RESERVED_ATTRS, *_LEFT_OUT],
        )
