"""What only Django knows about a request: its route, and its time in the database.

    MIDDLEWARE = ["asgi_middleware.django.route_middleware", ...]

    time_database_queries()    # once, in asgi.py or in an AppConfig's ready()

Both write into the record of the request, see :mod:`asgi_middleware.timing`. Where there is no
record, as under WSGI and in management commands, they do nothing. No other module of the package
needs Django to be imported.
"""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from .cors.django_cors_headers import cors_options
from .timing import current_timing

__all__ = ["cors_options", "route_middleware", "time_database_queries"]


@sync_and_async_middleware
def route_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Set the ``route`` of the record to the URL pattern that matched, as ``notes/<int:pk>/``.

    The empty pattern, of the page at the root, becomes ``/``. The route stays ``unmatched`` if no
    pattern matched, or if another middleware responded before Django looked for one. It is never
    a path, so metrics have few labels.

    It works in sync and async code alike and has no ``process_view``, so it costs no change of
    thread. You can put it anywhere in ``MIDDLEWARE``.
    """
    # asgiref's function: on Python 3.11, that of inspect does not see what Django marks.
    if iscoroutinefunction(get_response):  # pyright: ignore[reportDeprecated]

        async def with_route_async(request: HttpRequest) -> HttpResponseBase:
            try:
                return await cast("Awaitable[HttpResponseBase]", get_response(request))
            finally:
                # Also when Django cancels the view because the client has left.
                _set_route(request)

        return with_route_async

    def with_route(request: HttpRequest) -> HttpResponseBase:
        try:
            return get_response(request)
        finally:
            _set_route(request)

    return with_route


def time_database_queries() -> None:
    """Count the queries of each request and add up their time, for its record.

    It covers every connection to every database: those that this thread has open, and all that
    are opened later. A second call changes nothing. An ``executemany`` counts as one query.
    """
    connection_created.connect(_instrument, dispatch_uid="asgi_middleware.time_database_queries")
    for connection in connections.all(initialized_only=True):
        _instrument(connection=connection)


def _set_route(request: HttpRequest) -> None:
    record = current_timing()
    if record is not None and request.resolver_match is not None:
        record.route = request.resolver_match.route or "/"


def _instrument(*, connection: BaseDatabaseWrapper, **signal: Any) -> None:  # noqa: ARG001
    # A connection that connects again keeps its wrappers. Ours goes to the front, because
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
