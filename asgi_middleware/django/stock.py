"""Django's own middleware without a thread.

Django calls each hook of its middleware in a thread, because any middleware may block. On most
requests, most of Django's own middleware cannot block. Each class here becomes a base class in
front of one of Django's: hooks that cannot block run in the event loop, and hooks that might block
run in a thread.

In either case, the hook itself is Django's code. If it uses the database unexpectedly, Django
raises SynchronousOnlyOperation, and the hook is called again in a thread.
"""

import sys
from collections.abc import Callable
from typing import Any, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import SynchronousOnlyOperation
from django.utils import translation


def in_loop(middleware: Any) -> Any:
    """Return a subclass of *middleware* that needs fewer threads, if it is one of Django's classes.

    A project's subclass may do anything, so it is returned as it is.
    """
    module = getattr(middleware, "__module__", "")
    name = getattr(middleware, "__qualname__", "")
    hooks: Any = _IN_LOOP.get(f"{module}.{name}")
    if hooks is None or getattr(sys.modules.get(module), name, None) is not middleware:
        return middleware
    bases: Any = (hooks, middleware)
    return type(name, bases, {"__module__": module, "__doc__": middleware.__doc__})


async def _call(hook: Callable[..., Any], *arguments: Any, may_block: bool) -> Any:
    if not may_block:
        try:
            return hook(*arguments)
        except SynchronousOnlyOperation:
            pass
    return await sync_to_async(hook)(*arguments)


class _InLoop:
    """A middleware whose hooks cannot block."""

    # These are attributes of Django's middleware.
    get_response: Any
    process_request: Any
    process_response: Any

    def request_may_block(self, _request: Any) -> bool:
        return False

    def response_may_block(self, _request: Any, _response: Any) -> bool:
        return False

    async def __acall__(self, request: Any) -> Any:
        """Do what ``MiddlewareMixin`` does in its method of this name."""
        response = None
        if hasattr(self, "process_request"):
            blocks = self.request_may_block(request)
            response = await _call(self.process_request, request, may_block=blocks)
        response = response or await self.get_response(request)
        if hasattr(self, "process_response"):
            blocks = self.response_may_block(request, response)
            response = await _call(self.process_response, request, response, may_block=blocks)
        return response


class _Common(_InLoop):
    """Looks for a pattern that matches with a slash; a project's converter may block."""

    def request_may_block(self, _request: Any) -> bool:
        return bool(settings.PREPEND_WWW)

    def response_may_block(self, _request: Any, response: Any) -> bool:
        return bool(response.status_code == 404)


class _Locale(_InLoop):
    """Reads translations from files, once for each language."""

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)  # type: ignore[call-arg]
        self._read: set[str] = set()

    def request_may_block(self, request: Any) -> bool:
        language = translation.get_language_from_request(request, check_path=True)
        if language in self._read:
            return False
        self._read.add(language)
        return True

    def response_may_block(self, _request: Any, response: Any) -> bool:
        # It looks for a pattern that matches with a language prefix.
        return bool(response.status_code == 404)


class _ConditionalGet(_InLoop):
    """Logs a failed precondition; a log handler may block."""

    def response_may_block(self, request: Any, _response: Any) -> bool:
        return "HTTP_IF_MATCH" in request.META or "HTTP_IF_UNMODIFIED_SINCE" in request.META


class _Session(_InLoop):
    """Saves a session that was modified."""

    SessionStore: Any

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)  # type: ignore[call-arg]
        self._may_block_at_first = not _is_known(self.SessionStore)

    def request_may_block(self, _request: Any) -> bool:
        return self._may_block_at_first

    def response_may_block(self, request: Any, _response: Any) -> bool:
        session: Any = getattr(request, "session", None)
        return (
            self._may_block_at_first
            or type(session) is not self.SessionStore
            or bool(session.modified or settings.SESSION_SAVE_EVERY_REQUEST)
        )


def _is_known(store: Any) -> bool:
    """Tell whether *store* is one of Django's, which read nothing until the session is used."""
    module = store.__module__
    if module in (f"{_ENGINES}.cache", f"{_ENGINES}.cached_db"):
        backend = settings.CACHES[settings.SESSION_CACHE_ALIAS]["BACKEND"]
        return str(backend).startswith("django.core.cache.backends.")
    return module in (f"{_ENGINES}.db", f"{_ENGINES}.file", f"{_ENGINES}.signed_cookies")


_ENGINES = "django.contrib.sessions.backends"


class _CSRF(_InLoop):
    """Parses the body of a request, and its failure view may do anything."""

    def request_may_block(self, _request: Any) -> bool:
        return bool(settings.CSRF_USE_SESSIONS)

    async def process_view(self, request: Any, view: Any, args: Any, kwargs: Any) -> Any:
        checks = not (
            request.method in ("GET", "HEAD", "OPTIONS", "TRACE")
            or getattr(view, "csrf_exempt", False)
            or getattr(request, "csrf_processing_done", False)
        )
        hook = cast("Any", super()).process_view
        return await _call(hook, request, view, args, kwargs, may_block=checks)

    def response_may_block(self, request: Any, _response: Any) -> bool:
        return bool(settings.CSRF_USE_SESSIONS and request.META.get("CSRF_COOKIE_NEEDS_UPDATE"))


class _Messages(_InLoop):
    """Reads and stores messages, perhaps in the session."""

    def request_may_block(self, _request: Any) -> bool:
        return settings.MESSAGE_STORAGE not in _STORAGES

    def response_may_block(self, request: Any, _response: Any) -> bool:
        storage = getattr(request, "_messages", None)
        if storage is None:
            return False
        known = f"{type(storage).__module__}.{type(storage).__qualname__}" in _STORAGES
        return not known or bool(storage.used or storage.added_new)


_STORAGES = {
    "django.contrib.messages.storage.cookie.CookieStorage",
    "django.contrib.messages.storage.fallback.FallbackStorage",
    "django.contrib.messages.storage.session.SessionStorage",
}
# By name, because some cannot be imported before the apps are loaded.
_IN_LOOP: dict[str, type[_InLoop]] = {
    "django.contrib.auth.middleware.AuthenticationMiddleware": _InLoop,
    "django.contrib.messages.middleware.MessageMiddleware": _Messages,
    "django.contrib.sessions.middleware.SessionMiddleware": _Session,
    "django.middleware.clickjacking.XFrameOptionsMiddleware": _InLoop,
    "django.middleware.common.CommonMiddleware": _Common,
    "django.middleware.csp.ContentSecurityPolicyMiddleware": _InLoop,
    "django.middleware.csrf.CsrfViewMiddleware": _CSRF,
    "django.middleware.http.ConditionalGetMiddleware": _ConditionalGet,
    "django.middleware.locale.LocaleMiddleware": _Locale,
    "django.middleware.security.SecurityMiddleware": _InLoop,
}
