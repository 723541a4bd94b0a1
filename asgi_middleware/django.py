"""What only Django knows of a request: its route, and its time in the database.

    MIDDLEWARE = ["asgi_middleware.django.route_middleware", ...]

    time_database_queries()    # once, in asgi.py or in an AppConfig's ready()

Both write into the record of the request, see :mod:`asgi_middleware.timing`; where there
is none, as under WSGI and in management commands, they do nothing. The only module
here that imports Django.
"""

import re
from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import iscoroutinefunction
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

from .cors import CORSPolicy
from .errors import ConfigurationError
from .timing import current_timing


@sync_and_async_middleware
def route_middleware(
    get_response: Callable[[HttpRequest], HttpResponseBase],
) -> Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]:
    """Note the URL pattern that matched, ``notes/<int:pk>/``, as the record's ``route``.

    The pattern that is empty, of the page at the root, is noted as ``/``. The route stays
    ``unmatched`` where no pattern matched or another middleware answered before; it is
    never a path, so that labels of metrics stay few.

    At home in sync and async code, and a ``process_view`` it does not have: it costs no
    thread. Its place in ``MIDDLEWARE`` does not matter.
    """
    # Not inspect's, which on Python 3.11 does not see what Django marks as one.
    if iscoroutinefunction(get_response):  # pyright: ignore[reportDeprecated]

        async def noting_async(request: HttpRequest) -> HttpResponseBase:
            try:
                return await cast("Awaitable[HttpResponseBase]", get_response(request))
            finally:
                # Also when the client is gone, and Django cancels the view.
                _note_route(request)

        return noting_async

    def noting(request: HttpRequest) -> HttpResponseBase:
        try:
            return get_response(request)
        finally:
            _note_route(request)

    return noting


def time_database_queries() -> None:
    """Count the queries of each request and add up their time, for its record.

    On every connection to every database: those that this thread has, and all that are
    made from now on. Calling it again changes nothing. An ``executemany`` is one query.
    """
    connection_created.connect(_instrument, dispatch_uid="asgi_middleware.time_database_queries")
    for connection in connections.all(initialized_only=True):
        _instrument(connection=connection)


def cors_options(settings: object) -> dict[str, Any]:
    """Return the options of ``CORSMiddleware`` that django-cors-headers' settings stand for.

        partial(CORSMiddleware, **cors_options(settings))

    What is not set has that package's default. Raises :class:`ConfigurationError` for a
    ``CORS_URLS_REGEX`` that is not a prefix, as ``^/api/.*$`` is, and for what would let
    every site act as its visitors.
    """
    found = _CORSSettings(settings)
    if problems := found.problems():
        raise ConfigurationError("cors_options", problems)
    options = found.options()
    prefix = found.prefix()
    return options if prefix is None else {"policies": {prefix: CORSPolicy(**options)}}


class _CORSSettings:
    """django-cors-headers' settings, under their present and their former names."""

    def __init__(self, settings: object) -> None:
        self._settings = settings

    def options(self) -> dict[str, Any]:
        regexes = self._get("CORS_ALLOWED_ORIGIN_REGEXES", "CORS_ORIGIN_REGEX_WHITELIST", [])
        sources = [_source(regex) for regex in regexes]
        return {
            "allow_origins": ["*"] if self._allows_all else self._origins,
            "allow_origin_regex": "|".join(f"(?:{each})" for each in sources) or None,
            "allow_methods": self._get(
                "CORS_ALLOW_METHODS", None, ["DELETE", "GET", "OPTIONS", "PATCH", "POST", "PUT"]
            ),
            "allow_headers": self._get(
                "CORS_ALLOW_HEADERS",
                None,
                [
                    *("accept", "authorization", "content-type"),
                    *("user-agent", "x-csrftoken", "x-requested-with"),
                ],
            ),
            "allow_credentials": self._credentials,
            "allow_private_network": self._get("CORS_ALLOW_PRIVATE_NETWORK", None, False),
            "expose_headers": self._get("CORS_EXPOSE_HEADERS", None, []),
            "max_age": self._get("CORS_PREFLIGHT_MAX_AGE", None, 86_400),
        }

    def problems(self) -> list[str]:
        problems: list[str] = []
        if self._allows_all and self._credentials:
            problems.append(
                "CORS_ALLOW_ALL_ORIGINS: cannot be combined with CORS_ALLOW_CREDENTIALS: every"
                " site could act as its visitors; list CORS_ALLOWED_ORIGINS"
            )
        if self._urls not in _EVERY_URL and self.prefix() is None:
            problems.append(
                f"CORS_URLS_REGEX: {self._urls!r} is not a prefix; write it like '^/api/.*$', or"
                " give CORSMiddleware policies={'/api/': CORSPolicy(...)}"
            )
        return problems

    def prefix(self) -> str | None:
        match = _PREFIX.fullmatch(self._urls)
        return None if match is None else match["path"]

    @property
    def _allows_all(self) -> bool:
        return bool(self._get("CORS_ALLOW_ALL_ORIGINS", "CORS_ORIGIN_ALLOW_ALL", False))

    @property
    def _credentials(self) -> bool:
        return bool(self._get("CORS_ALLOW_CREDENTIALS", None, False))

    @property
    def _origins(self) -> list[str]:
        return list(self._get("CORS_ALLOWED_ORIGINS", "CORS_ORIGIN_WHITELIST", []))

    @property
    def _urls(self) -> str:
        return _source(self._get("CORS_URLS_REGEX", None, "^.*$"))

    def _get(self, name: str, former: str | None, default: object) -> Any:
        if former is not None:
            default = getattr(self._settings, former, default)
        return getattr(self._settings, name, default)


def _source(regex: str | re.Pattern[str]) -> str:
    return regex if isinstance(regex, str) else regex.pattern


_EVERY_URL = frozenset({"^.*$", ".*", "^.*", "^/.*$", "^/", ""})
_PREFIX = re.compile(r"\^(?P<path>/[A-Za-z0-9_/-]*[A-Za-z0-9_-]/)(?:\.\*\$?)?")


def _note_route(request: HttpRequest) -> None:
    record = current_timing()
    if record is not None and request.resolver_match is not None:
        record.route = request.resolver_match.route or "/"


def _instrument(*, connection: BaseDatabaseWrapper, **signal: Any) -> None:  # noqa: ARG001
    # A connection that is made anew keeps its wrappers. At the front: the end of the list
    # is a stack, from which `with connection.execute_wrapper(...)` takes the last one.
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
