"""A value for Django's LOGGING setting."""

from importlib.util import find_spec
from typing import Any

from .. import _options as options

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def logging_config(level: str = "INFO", *, json: bool = False) -> dict[str, Any]:
    """Return a value for ``LOGGING``: every line on stderr, once, with its request ID.

        LOGGING = logging_config(level="INFO", json=not DEBUG)

    * ``level``: the lowest level that is logged.
    * ``json``: each line is a JSON object, made by python-json-logger.

    The access log is visible. uvicorn's own access log is off, because it contains less. As with
    Django's default, errors are mailed to ``ADMINS`` unless ``DEBUG`` is on. Each call returns a
    new dict, which you can change as you like.

    Raises :class:`ConfigurationError` for options that cannot work.
    """
    options.check(
        "logging_config",
        options.choice("level", level, _LEVELS),
        options.boolean("json", json),
        _missing_formatter(json),
    )
    formatter: dict[str, Any] = (
        {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "fmt": ["levelname", "name", "request_id", "message"],
            "timestamp": "time",
            "rename_fields": {"levelname": "level", "name": "logger", "exc_info": "exception"},
            "reserved_attrs": _reserved(),
        }
        if json
        else {"format": "{asctime} {levelname} {name} [{request_id}] {message}", "style": "{"}
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {
            "request_id": {"()": "asgi_middleware.RequestIDFilter"},
            "production": {"()": "django.utils.log.RequireDebugFalse"},
        },
        "formatters": {"line": formatter},
        "handlers": {
            # The filter is on the handler: a logger's filter does not see lines of child loggers.
            "console": {
                "class": "logging.StreamHandler",
                "filters": ["request_id"],
                "formatter": "line",
            },
            "mail_admins": {
                "class": "django.utils.log.AdminEmailHandler",
                "filters": ["production"],
                "level": "ERROR",
            },
        },
        "root": {"handlers": ["console"], "level": level},
        # A logger that is listed here loses its own handlers, so each line appears once.
        "loggers": {
            "django": _to_root(handlers=["mail_admins"]),
            "django.server": _to_root(),
            "uvicorn": _to_root(),
            "uvicorn.error": _to_root(),
            "uvicorn.access": _to_root(level="WARNING"),
        },
    }


def _to_root(**changes: object) -> dict[str, Any]:
    return {"handlers": [], "level": "NOTSET", "propagate": True, **changes}


def _missing_formatter(json: object) -> list[str]:
    if json is True and find_spec("pythonjsonlogger") is None:
        return ["json: True needs python-json-logger; install python-json-logger, or use False"]
    return []


def _reserved() -> list[str]:
    from pythonjsonlogger.core import RESERVED_ATTRS

    # Leave out the objects and colored messages that Django and uvicorn attach: the request, for
    # example, would be logged with its query string, which may contain secrets.
    return [*RESERVED_ATTRS, "request", "websocket", "color_message"]
