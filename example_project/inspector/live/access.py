"""Who may watch and play: staff and, in development, everybody."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponseBase


def may_watch(user: Any) -> bool:
    return bool(settings.DEBUG or user.is_staff)


def for_watchers(
    view: Callable[[HttpRequest], Awaitable[HttpResponseBase]],
) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """Serve an async view to visitors who may watch. For others it does not exist."""

    @wraps(view)
    async def guarded(request: HttpRequest) -> HttpResponseBase:
        if not may_watch(await request.auser()):
            raise Http404
        return await view(request)

    return guarded
