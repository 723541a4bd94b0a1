"""Django's ASGI handler with fewer thread switches.

    from asgi_middleware.django import get_asgi_application    # instead of django.core.asgi

Django calls each hook of each middleware in a thread. Here, a request for a sync view goes through
all middleware and the view in one call in one thread, as under WSGI. A request for an async view
goes through Django's own middleware in the event loop.

Django builds both chains of middleware, and each of them can serve any view. The choice between
them affects only how long a request takes, never what it does.
"""

import logging
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import cache, cached_property
from types import FunctionType, SimpleNamespace
from typing import Any, NamedTuple

import django
from asgiref.sync import sync_to_async
from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.core import signals
from django.core.handlers import asgi, base
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern, RegexPattern, RoutePattern
from django.utils import translation
from django.utils.module_loading import import_string

from .. import _options as options
from .._async import is_async
from .._django import closing, finishing, live_receivers, starting
from .._threads import needs_no_tidying
from .application import layers_in_middleware
from .database import time_database_queries
from .route import note_route
from .stock import in_loop

logger = logging.getLogger("asgi_middleware.django")


def get_asgi_application() -> "ASGIHandler":
    """Set Django up, and return its handler with fewer thread switches."""
    django.setup(set_prefix=False)
    return ASGIHandler()


class Routed(base.BaseHandler):
    """A handler that notes the route of each request in its record."""

    def resolve_request(self, request: Any) -> Any:
        guess: _Guess | None = request.__dict__.pop(_GUESS, None)
        if guess is None or guess != _Guess.of(request, guess.match):
            match = super().resolve_request(request)
        else:
            match = request.resolver_match = guess.match
        note_route(request)
        return match


class TwoChains(Routed):
    """A handler with a chain of middleware for async views, and one for sync views.

    The chain for async views is built as Django builds it. The chain for sync views is built when
    the first request needs it.
    """

    # Makes whole responses in a thread. None before the first request for a sync view.
    _respond_in_thread: Callable[[Any], Any] | None = None
    # Whether the chain for async views serves all requests.
    _has_one_chain = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._lock = threading.Lock()
        # The id() of each view that a path seemed to lead to, although the request then went to an
        # async view: a middleware changes its path or its URLconf. None stands for no view.
        self._misleading: set[int] = set()
        super().__init__(*args, **kwargs)

    def load_middleware(self, is_async: bool = False) -> None:
        load: Any = super().load_middleware
        if not is_async:
            load()
            return
        options.check("asgi_middleware", layers_in_middleware())
        with_globals(load, import_string=_import_in_loop)(is_async=True)
        self._has_one_chain = any(
            _is_for_async_code(import_string(path)) for path in settings.MIDDLEWARE
        )

    async def get_response_async(self, request: Any) -> Any:
        if self._has_one_chain:
            return await super().get_response_async(request)
        view = _view(request)
        if is_async(view) or id(view) in self._misleading:
            return await super().get_response_async(request)
        if self._respond_in_thread is None:
            await sync_to_async(self._load_sync_chain)()
        if self._respond_in_thread is None:
            return await super().get_response_async(request)
        response = await self._respond_in_thread(request)
        match = request.resolver_match
        if match is not None and match.func is not view and is_async(match.func):
            self._misleading.add(id(view))
        return response

    def _load_sync_chain(self) -> None:
        with self._lock:
            if self._respond_in_thread is not None or self._has_one_chain:
                return
            handler = Routed()
            try:
                handler.load_middleware()
            except Exception:
                logger.exception(
                    "MIDDLEWARE cannot be loaded for sync views; it runs as async code"
                )
                self._has_one_chain = True
            else:
                self._respond_in_thread = sync_to_async(handler.get_response)


class ASGIHandler(TwoChains, asgi.ASGIHandler):
    """Django's ``ASGIHandler`` with fewer thread switches.

    Responses, signals, logs and exceptions are the same. If a request has a record
    (:mod:`asgi_middleware.timing`), its route and its database time are noted there.
    """

    def __init__(self) -> None:
        super().__init__()
        time_database_queries()

    @cached_property
    def _handle(self) -> Any:
        return with_globals(
            super().handle, signals=_SIGNALS, sync_to_async=_close_in_thread_if_needed
        )

    async def handle(self, scope: Any, receive: Any, send: Any) -> None:
        await self._handle(scope, receive, send)

    async def run_get_response(self, request: Any) -> Any:
        response: Any = await super().run_get_response(request)
        response._handler_class = _sender(type(self))  # noqa: SLF001 -- the sender of signals
        return response


def _sender(handler: Any) -> Any:
    """Return the sender of signals: Django's own handler, because projects may listen for it."""
    return asgi.ASGIHandler if handler is ASGIHandler else handler


# --- replacements for what Django's handle() uses ---


class _AtBorder:
    """A signal at the start or end of a request; it needs no thread if only Django listens."""

    def __init__(self, signal: Any, work: Callable[[list[Any]], Any]) -> None:
        self._signal = signal
        self._work = work

    async def asend(self, sender: Any, **named: Any) -> Any:
        sender = _sender(sender)
        receivers, async_receivers = live_receivers(self._signal, sender)
        if async_receivers or not needs_no_tidying() or not self._work(receivers):
            return await self._signal.asend(sender, **named)
        return []


def _finish(receivers: list[Any]) -> bool:
    finish = finishing(receivers)
    if finish is not None:
        finish()
    return finish is not None


_SIGNALS = SimpleNamespace(
    request_started=_AtBorder(signals.request_started, starting),
    request_finished=_AtBorder(signals.request_finished, _finish),
)


def _close_in_thread_if_needed(close: Callable[[], object]) -> Callable[[], Awaitable[None]]:
    async def closed() -> None:
        instead = closing(close) if needs_no_tidying() else None
        if instead is None:
            await sync_to_async(close)()
        else:
            instead()

    return closed


def _is_for_async_code(middleware: Any) -> bool:
    # Before Django 6.1, RemoteUserMiddleware reads a different header in sync code: WSGI's.
    reads_wsgi = hasattr(middleware, "aprocess_request") and not hasattr(middleware, "get_username")
    return reads_wsgi or not getattr(middleware, "sync_capable", True)


class _Guess(NamedTuple):
    """The view that a request leads to, unless a middleware changes what the path means."""

    match: Any
    path: str
    language: str | None
    urlconf: Any

    @classmethod
    def of(cls, request: Any, match: Any) -> "_Guess":
        urlconf = getattr(request, "urlconf", settings.ROOT_URLCONF)
        return cls(match, request.path_info, translation.get_language(), urlconf)


_GUESS = "_asgi_middleware_guess"


def _view(request: Any) -> Any:
    """Return the view that *request* seems to lead to, or None if that is unclear."""
    path = request.path_info
    try:
        # A request class may set its own URLconf before any middleware runs.
        urlconf = getattr(request, "urlconf", settings.ROOT_URLCONF)
        resolver = get_resolver(urlconf)
        language = None
        if settings.USE_I18N and is_language_prefix_patterns_used(urlconf)[0]:
            language = translation.get_language_from_path(path)
        if language is not None:
            with translation.override(language):
                return resolver.resolve(path).func
        match = resolver.resolve(path)
    except Exception:  # noqa: BLE001 -- a URLconf or a converter may raise; Django reports it
        return None
    with suppress(Exception):  # parts of the URLconf that this request does not need may fail
        if _depends_on_path_only(resolver):  # then resolve_request() need not look again
            setattr(request, _GUESS, _Guess.of(request, match))
    return match.func


@cache
def _depends_on_path_only(resolver: Any) -> bool:
    """Tell whether the same path and language always lead to the same view and arguments.

    A project's converter may depend on something else, such as a tenant that a middleware sets.
    """
    return all(
        type(each) in (URLPattern, URLResolver)
        and type(each.pattern) in (LocalePrefixPattern, RegexPattern, RoutePattern)
        and {type(converter).__module__ for converter in each.pattern.converters.values()}
        <= {"django.urls.converters"}
        and (type(each) is URLPattern or _depends_on_path_only(each))
        for each in resolver.url_patterns
    )


def _import_in_loop(path: str) -> Any:
    # Looked up in Django's module, because tracers replace it there to watch middleware.
    handlers: Any = base
    return in_loop(handlers.import_string(path))


def with_globals(method: Any, **replaced: object) -> Any:
    """Return a copy of *method* for which these globals of its module are replaced.

    If somebody has replaced the method by something else, that is returned as it is.
    """
    function = getattr(method, "__func__", None)
    if not isinstance(function, FunctionType):
        return method
    changed = FunctionType(
        function.__code__,
        {**function.__globals__, **replaced},
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    return changed.__get__(method.__self__)
