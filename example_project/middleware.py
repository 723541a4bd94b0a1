"""Middleware for Django's MIDDLEWARE: code that needs the user belongs there."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from asgi_middleware import current_timing


@sync_and_async_middleware
def staff_see_timings(
    get_response: Callable[[HttpRequest], Any],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Mark the records of requests by staff, so that TimingMiddleware shows their timings.

    Put it after AuthenticationMiddleware. It supports sync and async code, so it causes no thread
    switch. Only a visitor with a session costs a database query.
    """
    if iscoroutinefunction(get_response):

        async def marking_async(request: HttpRequest) -> HttpResponseBase:
            if (record := current_timing()) is not None:
                record.expose = (await request.auser()).is_staff
            return await get_response(request)

        return marking_async

    def marking(request: HttpRequest) -> HttpResponseBase:
        # Under WSGI, there is no record.
        if (record := current_timing()) is not None:
            record.expose = request.user.is_staff
        return get_response(request)

    return marking
