"""Who may watch and play: staff and, in development, everybody."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponseBase
from django.views.decorators.common import no_append_slash
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

View = Callable[[HttpRequest], Any]


def may_watch(user: Any) -> bool:
    return bool(settings.DEBUG or user.is_staff)


def for_watchers(*methods: str, cross_origin: bool = False) -> Callable[..., View]:
    """Serve a view, for *methods*, to visitors who may watch.

    For everybody else, the path behaves like an unknown path, whatever they send: they get a 404
    before anything looks at the method, the CSRF token or a missing slash. With *cross_origin*,
    pages of other origins may POST, although they cannot know a token.
    """

    def guard(view: View) -> View:
        accepting = require_http_methods(methods)(view)
        inner: View = accepting if cross_origin else csrf_protect(accepting)

        async def guarded_async(request: HttpRequest, **kwargs: object) -> HttpResponseBase:
            if not may_watch(await request.auser()):
                raise Http404
            response: HttpResponseBase = await inner(request, **kwargs)
            return response

        def guarded(request: HttpRequest, **kwargs: object) -> HttpResponseBase:
            if not may_watch(request.user):
                raise Http404
            response: HttpResponseBase = inner(request, **kwargs)
            return response

        outer = guarded_async if iscoroutinefunction(view) else guarded
        return no_append_slash(csrf_exempt(wraps(view)(outer)))

    return guard
