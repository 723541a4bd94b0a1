"""The time that a request spends in the database, for its record."""

from collections.abc import Callable
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from ..timing import current_timing


def time_database_queries() -> None:
    """Count the queries of each request and add up their time, for its record.

    You need this only with Django's own handler; the handler of this package calls it by itself.
    Call it once, in ``asgi.py`` or in an AppConfig's ``ready()``.

    It covers every database: the connections that this thread has open, and all connections that
    are opened later. A second call changes nothing. An ``executemany`` counts as one query. Without
    a record, as in management commands, nothing is counted.
    """
    connection_created.connect(_instrument, dispatch_uid="asgi_middleware.time_database_queries")
    for connection in connections.all(initialized_only=True):
        _instrument(connection=connection)


def _instrument(*, connection: BaseDatabaseWrapper, **signal: Any) -> None:  # noqa: ARG001
    # A connection that reconnects keeps its wrappers. Ours goes to the front, because
    # `with connection.execute_wrapper(...)` removes the last one.
    if _timed not in connection.execute_wrappers:
        connection.execute_wrappers.insert(0, _timed)


def _timed(
    execute: Callable[[str, Any, bool, dict[str, Any]], Any],
    sql: str,
    params: Any,
    many: bool,
    context: dict[str, Any],
) -> Any:
    record = current_timing()
    if record is None:
        return execute(sql, params, many, context)
    started = record.clock()
    try:
        return execute(sql, params, many, context)
    finally:
        record.database_queries += 1
        record.database_time += record.clock() - started
