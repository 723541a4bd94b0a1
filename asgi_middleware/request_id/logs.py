"""The request ID in log records."""

import logging
from collections.abc import Callable
from typing import Any

from .. import _options as options
from .context import get_request_id


class RequestIDFilter(logging.Filter):
    """Set ``record.request_id``, so that a format can contain ``%(request_id)s``.

    Put it on handlers: a logger's own filters do not see the records of its children. It never
    drops a record, and never overwrites an ID from ``extra``. Outside a request the ID is
    ``default_value``; ``length`` truncates longer IDs.

    Raises :class:`ConfigurationError` for options that cannot work.
    """

    def __init__(self, default_value: str = "-", length: int | None = None) -> None:
        _check("RequestIDFilter", default_value, length)
        super().__init__()
        self.default_value = default_value
        self.length = length

    def filter(self, record: logging.LogRecord) -> bool:
        _add_request_id(record, self.default_value, self.length)
        return True


def install_record_factory(
    default_value: str = "-", length: int | None = None
) -> Callable[[], None]:
    """Set ``request_id`` on every log record as it is made, and return a function that undoes it.

    Use it instead of :class:`RequestIDFilter`. You need not list handlers, and it also covers
    handlers that run in another thread (``QueueListener``) or belong to other packages. A factory
    that was installed before still makes the record. A second call replaces the first one. Undoing
    does nothing while a later factory wraps this one.

    With it, ``extra={"request_id": ...}`` raises a KeyError, as for any attribute that a record
    already has. Options and errors are those of the filter.
    """
    _check("install_record_factory", default_value, length)
    previous = logging.getLogRecordFactory()
    if isinstance(previous, _RecordFactory):
        previous = previous.previous
    factory = _RecordFactory(previous, default_value, length)
    logging.setLogRecordFactory(factory)

    def undo() -> None:
        if logging.getLogRecordFactory() is factory:
            logging.setLogRecordFactory(previous)

    return undo


class _RecordFactory:
    def __init__(
        self, previous: Callable[..., logging.LogRecord], default_value: str, length: int | None
    ) -> None:
        self.previous = previous
        self._default_value = default_value
        self._length = length

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self.previous(*args, **kwargs)
        _add_request_id(record, self._default_value, self._length)
        return record


def _add_request_id(record: logging.LogRecord, default_value: str, length: int | None) -> None:
    fields: dict[str, Any] = record.__dict__
    if "request_id" not in fields:
        fields["request_id"] = (get_request_id() or default_value)[:length]


def _check(subject: str, default_value: object, length: object) -> None:
    options.check(
        subject,
        options.instance("default_value", default_value, str, "'-'"),
        options.whole_number("length", length, 1, example=8, optional=True),
    )
