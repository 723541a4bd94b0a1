"""How production writes its log: one JSON object a line."""

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

# Objects and ornaments that Django and uvicorn attach. Django's request would be written
# with its query, which may hold secrets.
_LEFT_OUT = ("request", "websocket", "color_message")


class JSONFormatter(JsonFormatter):
    """Time, level, logger, request ID and message; then whatever ``extra`` has.

    The fields of the access log come as ``extra``: status, duration_ms, route and more.
    """

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "request_id", "message"],
            timestamp="time",
            rename_fields={"levelname": "level", "name": "logger", "exc_info": "exception"},
            reserved_attrs=[*RESERVED_ATTRS, *_LEFT_OUT],
        )
