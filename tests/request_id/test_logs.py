"""The ID in log records."""

import logging
import logging.handlers
import queue
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from asgi_middleware import (
    ConfigurationError,
    RequestIDFilter,
    RequestIDMiddleware,
    install_record_factory,
    request_id_context,
)
from asgi_middleware.testing import request
from asgi_middleware.types import Scope
from tests.apps import doing


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": "hello"})
    made.__dict__.update(extra)
    return made


def test_the_filter_keeps_a_record_from_outside_a_request() -> None:
    line = record()

    assert RequestIDFilter().filter(line) is True
    assert line.__dict__["request_id"] == "-"


async def test_the_filter_adds_the_id_truncated_to_its_length() -> None:
    lines = [record(), record(request_id="given by extra")]

    def log(scope: Scope) -> None:
        for line in lines:
            RequestIDFilter(length=8).filter(line)

    headers = {"x-request-id": "0123456789"}
    await request(RequestIDMiddleware(doing(log)), headers=headers)

    assert [line.__dict__["request_id"] for line in lines] == ["01234567", "given by extra"]


@pytest.mark.parametrize(
    ("make", "subject"),
    [
        pytest.param(RequestIDFilter, "RequestIDFilter", id="filter"),
        pytest.param(install_record_factory, "install_record_factory", id="record factory"),
    ],
)
def test_a_refused_option_changes_no_record_factory(
    make: Callable[..., object], subject: str
) -> None:
    factory = logging.getLogRecordFactory()

    with pytest.raises(ConfigurationError) as refused:
        make(default_value=None, length=0)

    assert str(refused.value) == (
        f"{subject}: default_value: None is not a str; use '-'\n"
        f"{subject}: length: 0 is not a whole number at or above 1; use 8 or None"
    )
    assert logging.getLogRecordFactory() is factory


@pytest.fixture
def as_before() -> Iterator[Callable[..., logging.LogRecord]]:
    """Yield the record factory, and restore it after the test."""
    factory = logging.getLogRecordFactory()
    yield factory
    logging.setLogRecordFactory(factory)


def made_record() -> logging.LogRecord:
    """Return a record from the current record factory."""
    return logging.getLogger("app").makeRecord("app", logging.INFO, "f", 1, "hello", (), None)


def id_of(line: logging.LogRecord) -> object:
    return line.__dict__.get("request_id", "none at all")


def test_the_factory_adds_the_id_to_every_record(as_before: object) -> None:
    install_record_factory(default_value="none", length=8)

    outside = made_record()
    with request_id_context("0123456789"):
        inside = made_record()

    assert (id_of(outside), id_of(inside)) == ("none", "01234567")


def test_the_earlier_factory_still_creates_the_record(as_before: object) -> None:
    class Record(logging.LogRecord):
        pass

    logging.setLogRecordFactory(Record)
    install_record_factory()

    line = made_record()

    assert (type(line), id_of(line)) == (Record, "-")


def test_undoing_the_factory_restores_the_earlier_one(
    as_before: Callable[..., logging.LogRecord],
) -> None:
    install_record_factory(default_value="first")
    undo = install_record_factory(default_value="second")

    installed_twice = id_of(made_record())
    undo()
    undo()

    assert installed_twice == "second"
    assert logging.getLogRecordFactory() is as_before


def test_undoing_the_factory_keeps_one_that_was_installed_later(as_before: object) -> None:
    undo = install_record_factory()
    ours = logging.getLogRecordFactory()

    def over_it(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return ours(*args, **kwargs)

    logging.setLogRecordFactory(over_it)

    undo()

    assert id_of(made_record()) == "-"


def test_the_factory_reaches_handlers_in_another_thread(as_before: object) -> None:
    install_record_factory()
    seen: list[object] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append(id_of(record))

    lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
    listener = logging.handlers.QueueListener(lines, Handler())

    with request_id_context("abc"):
        logging.handlers.QueueHandler(lines).handle(made_record())
    listener.start()
    listener.stop()

    assert seen == ["abc"]


def test_with_the_factory_extra_cannot_set_the_id(as_before: object) -> None:
    install_record_factory()

    with pytest.raises(KeyError, match="request_id"):
        logging.getLogger("app").error("hello", extra={"request_id": "mine"})
