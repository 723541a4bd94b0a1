"""Refuse WebSocket handshakes that come from other sites' pages."""

import logging
import re
from collections.abc import Iterator, Sequence

from .. import _options as options
from .._headers import trimmed, values, with_readable_headers
from .._origins import problems
from .._responses import refuse_handshake
from .._trust import Trusted, trust_check, trust_problems
from ..types import ASGIApp, Headers, Receive, Scope, Send
from .allowed_origins import AllowedOrigins, OriginFunction
from .options import OWN_ORIGINS, function_problems
from .same_origin import host_of, is_allowed_host, is_same_origin, likely_cause

logger = logging.getLogger("asgi_middleware.cors")

# What an entry of ALLOWED_HOSTS may look like.
_HOST = re.compile(r"\*|\.?[^\s,;'\"()]+")
# What Django allows if ALLOWED_HOSTS is empty and DEBUG is on.
_LOCAL_HOSTS = (".localhost", "127.0.0.1", "[::1]")


class WebSocketOriginMiddleware:
    """Let in the WebSockets of this site's own pages, and of listed origins.

        WebSocketOriginMiddleware(app, allowed_hosts=settings.ALLOWED_HOSTS)

    Browsers send cookies with every handshake and apply no CORS to it, so any page could open a
    WebSocket as its visitor. https://www.rfc-editor.org/rfc/rfc6455#section-10.2

    * ``allow_origins``: origins and patterns as in :class:`CORSPolicy`, and ``same-origin``: the
      host and port of ``Origin`` must be those of ``Host``. Over wss, its scheme must be https.
    * ``allow_missing``: whether to let in clients that send no ``Origin``. Browsers always send
      one.
    * ``allowed_hosts``: the hosts that ``same-origin`` accepts, by Django's rules; pass
      ``settings.ALLOWED_HOSTS``. An empty list stands for this machine.
    * ``allow_origin_func``: ``(origin, scope) -> bool``, or an awaitable of one, called last; only
      ``True`` allows the origin.
    * ``trusted_host_header``: the header in which a proxy that rewrites ``Host`` passes on the
      original, such as ``x-forwarded-host``. It counts only from clients that are ``trusted``.
    * ``trusted``: True for every client, a list of addresses and networks, or a function of the
      scope.

    Raises :class:`ConfigurationError` with all problems at once. ``*`` and ``null`` are refused
    because they would let everybody in.
    """

    def __init__(
        self,
        app: ASGIApp,
        allow_origins: Sequence[str] = ("same-origin",),
        *,
        allow_missing: bool = False,
        allowed_hosts: Sequence[str] | None = None,
        allow_origin_func: OriginFunction | None = None,
        trusted_host_header: str | None = None,
        trusted: Trusted = False,
    ) -> None:
        options.check(
            "WebSocketOriginMiddleware",
            options.strings(
                "allow_origins", allow_origins, ["https://app.example"], each=_origin_problems
            ),
            options.boolean("allow_missing", allow_missing),
            options.strings(
                "allowed_hosts", allowed_hosts, ["app.example"], optional=True, each=_host_problems
            ),
            function_problems(allow_origin_func),
            _trust_problems(trusted_host_header, trusted),
        )
        self.app = app
        self._options = {
            "allow_origins": allow_origins,
            "allow_missing": allow_missing,
            "allowed_hosts": allowed_hosts,
            "allow_origin_func": allow_origin_func,
            "trusted_host_header": trusted_host_header,
            "trusted": trusted,
        }
        others = [origin for origin in allow_origins if origin != "same-origin"]
        self._allow_same_origin = "same-origin" in allow_origins
        self._allowed_origins = AllowedOrigins(others, function=allow_origin_func)
        self._allow_missing = allow_missing
        self._allowed_hosts = None
        if allowed_hosts is not None:
            self._allowed_hosts = [host.lower() for host in allowed_hosts or _LOCAL_HOSTS]
        self._host_header = (trusted_host_header or "").lower().encode()
        self._trusts = trust_check(trusted)

    def __repr__(self) -> str:
        return options.repr_of(self, **self._options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            return await self.app(scope, receive, send)

        scope, headers = with_readable_headers(scope)
        origins = [trimmed(value) for value in values(headers, b"origin")]
        host = self._host(headers, scope)
        if await self._allows(origins, host, scope):
            return await self.app(scope, receive, send)
        logger.warning(
            "websocket refused: origin %.100r, host %.100r, path %.200r%s",
            _shown(origins),
            _shown(values(headers, b"host")),
            scope["path"],
            self._likely_cause(origins, host, headers, scope),
        )
        await refuse_handshake(scope, receive, send, 403, "this origin is not allowed")

    def _host(self, headers: Headers, scope: Scope) -> str | None:
        """Return the host that the page connected to, None if that is not certain."""
        if self._host_header and self._trusts(scope) and values(headers, self._host_header):
            return host_of(headers, self._host_header)
        return host_of(headers, b"host")

    async def _allows(self, origins: list[bytes], host: str | None, scope: Scope) -> bool:
        if not origins:
            return self._allow_missing
        if len(origins) != 1:
            return False
        [origin] = origins
        if self._allow_same_origin and host is not None and self._is_same(origin, host, scope):
            return True
        grant = self._allowed_origins.grant(origin)
        if grant is None:
            grant = await self._allowed_origins.grant_by_function(origin, scope)
        return grant is not None

    def _is_same(self, origin: bytes, host: str, scope: Scope) -> bool:
        if not is_same_origin(origin.decode("latin-1"), host, over_tls=_is_over_tls(scope)):
            return False
        return self._allowed_hosts is None or is_allowed_host(host, self._allowed_hosts)

    def _likely_cause(
        self, origins: list[bytes], host: str | None, headers: Headers, scope: Scope
    ) -> str:
        if not self._allow_same_origin or len(origins) != 1 or host is None:
            return ""
        origin = origins[0].decode("latin-1")
        cause = likely_cause(origin, host, headers, over_tls=_is_over_tls(scope))
        return "" if cause is None else f"; {cause}"


def _is_over_tls(scope: Scope) -> bool:
    return scope.get("scheme") == "wss"


def _shown(lines: list[bytes]) -> str | None:
    return b", ".join(lines).decode("latin-1") if lines else None


def _origin_problems(option: str, origin: str) -> Iterator[str]:
    if origin in ("*", "null"):
        yield (
            f"{option}: {origin!r} would let any page open a WebSocket as its visitor;"
            f" {OWN_ORIGINS}"
        )
    elif re.match("wss?://", origin):
        page = f"http{origin.partition('ws')[2]}"
        yield f"{option}: {origin!r} is a WebSocket's address, not a page's origin; use {page!r}"
    elif origin != "same-origin":
        yield from problems(option, origin)


def _host_problems(option: str, host: str) -> Iterator[str]:
    if not _HOST.fullmatch(host):
        yield f"{option}: {options.shown(host)} is not a host; use 'app.example'"


def _trust_problems(header: object, trusted: object) -> Iterator[str]:
    yield from trust_problems(trusted)
    if header is None:
        if trusted is not False:
            yield (
                f"trusted: {options.shown(trusted)} has no effect without trusted_host_header;"
                " use False"
            )
        return
    yield from options.header_name("trusted_host_header", header, "x-forwarded-host")
    if trusted is False:
        yield (
            f"trusted_host_header: {options.shown(header)} is ignored because no client is trusted;"
            " use None, or list the addresses of your proxies in trusted"
        )
