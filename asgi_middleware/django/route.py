"""The route of a request, for its record: see :mod:`asgi_middleware.timing`."""

from collections.abc import Awaitable, Callable
from typing import cast

from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from .._async import is_async
from ..timing import current_timing


@sync_and_async_middleware
def route_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Set the ``route`` of the record to the URL pattern that matched, such as ``notes/<int:pk>/``.

    You need this only with Django's own handler; the handler of this package does it by itself.

        MIDDLEWARE = ["asgi_middleware.django.route_middleware", ...]

    The empty pattern, of the page at the root, becomes ``/``. The route stays ``unmatched`` if no
    pattern matched, or if another middleware responded before Django looked for one. It is never
    a path, so metrics have few labels. Without a record, as under WSGI, it does nothing.

    It supports both sync and async code and has no ``process_view``, so it causes no change of
    thread. You can put it anywhere in ``MIDDLEWARE``.
    """
    if is_async(get_response):

        async def with_route_async(request: HttpRequest) -> HttpResponseBase:
            try:
                return await cast("Awaitable[HttpResponseBase]", get_response(request))
            finally:
                # Also when Django cancels the view because the client has left.
                note_route(request)

        return with_route_async

    def with_route(request: HttpRequest) -> HttpResponseBase:
        try:
            return get_response(request)
        finally:
            note_route(request)

    return with_route


def note_route(request: HttpRequest) -> None:
    """Note the pattern that *request* matched in its record, if it has both."""
    record = current_timing()
    if record is not None and request.resolver_match is not None:
        record.route = request.resolver_match.route or "/"
