"""Refuse WebSocket handshakes that come from other sites' pages."""

import logging
from collections.abc import Iterator, Sequence

from .. import _options as options
from .._headers import values, with_readable_headers
from .._origins import MAX_LENGTH, is_sendable, parse, problems
from .._responses import refuse_handshake
from ..types import ASGIApp, Receive, Scope, Send
from .allowed_origins import AllowedOrigins, OriginFunction
from .options import OWN_ORIGINS, function_problems

logger = logging.getLogger("asgi_middleware.cors")

# What Django allows if ALLOWED_HOSTS is empty and DEBUG is on.
_LOCAL_HOSTS = (".localhost", "127.0.0.1", "[::1]")


class WebSocketOriginMiddleware:
    """Let in the WebSockets of this site's own pages, and of listed origins.

        WebSocketOriginMiddleware(app, allowed_hosts=settings.ALLOWED_HOSTS)

    Browsers send cookies with every handshake and apply no CORS to it, so any page could open a
    WebSocket as its visitor. https://www.rfc-editor.org/rfc/rfc6455#section-10.2

    * ``allow_origins``: origins and patterns as in :class:`CORSPolicy`, and ``same-origin``: host
      and port of ``Origin`` are those of ``Host``. The scheme does not count, because TLS often
      ends at a proxy.
    * ``allow_missing``: whether to let in clients that send no ``Origin``. Browsers always do.
    * ``allowed_hosts``: what ``Host`` may be for ``same-origin``, by Django's rules; pass
      ``settings.ALLOWED_HOSTS``. An empty list stands for this machine.
    * ``allow_origin_func``: ``(origin, scope) -> bool``, or an awaitable of one, asked last; only
      ``True`` allows.

    Raises :class:`ConfigurationError` with all problems at once. ``*`` and ``null`` are among
    them: they would let everybody in.
    """

    def __init__(
        self,
        app: ASGIApp,
        allow_origins: Sequence[str] = ("same-origin",),
        *,
        allow_missing: bool = False,
        allowed_hosts: Sequence[str] | None = None,
        allow_origin_func: OriginFunction | None = None,
    ) -> None:
        options.check(
            "WebSocketOriginMiddleware",
            options.strings(
                "allow_origins", allow_origins, ["https://app.example"], each=_origin_problems
            ),
            options.boolean("allow_missing", allow_missing),
            options.strings("allowed_hosts", allowed_hosts, ["app.example"], optional=True),
            function_problems(allow_origin_func),
        )
        self.app = app
        self._options = {
            "allow_origins": allow_origins,
            "allow_missing": allow_missing,
            "allowed_hosts": allowed_hosts,
            "allow_origin_func": allow_origin_func,
        }
        others = [origin for origin in allow_origins if origin != "same-origin"]
        self._allow_same_origin = "same-origin" in allow_origins
        self._allowed_origins = AllowedOrigins(others, function=allow_origin_func)
        self._allow_missing = allow_missing
        self._allowed_hosts = None
        if allowed_hosts is not None:
            self._allowed_hosts = [host.lower() for host in allowed_hosts or _LOCAL_HOSTS]

    def __repr__(self) -> str:
        return options.repr_of(self, **self._options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "websocket":
            return await self.app(scope, receive, send)

        scope, headers = with_readable_headers(scope)
        origins = values(headers, b"origin")
        hosts = values(headers, b"host")
        if await self._allows(origins, hosts, scope):
            return await self.app(scope, receive, send)
        logger.warning(
            "websocket refused: origin %.100r, host %.100r, path %.200r",
            _shown(origins),
            _shown(hosts),
            scope["path"],
        )
        await refuse_handshake(scope, receive, send, 403, "this origin is not allowed")

    async def _allows(self, origins: list[bytes], hosts: list[bytes], scope: Scope) -> bool:
        if not origins:
            return self._allow_missing
        if len(origins) != 1 or len(origins[0]) > MAX_LENGTH:
            return False
        origin = origins[0].decode("latin-1")
        if self._allow_same_origin and self._is_same(origin, hosts):
            return True
        grant = self._allowed_origins.grant(origins[0])
        if grant is None:
            grant = await self._allowed_origins.grant_by_function(origins[0], scope)
        return grant is not None

    def _is_same(self, origin: str, hosts: list[bytes]) -> bool:
        """Tell whether *origin* is the site itself, as far as ``Host`` tells."""
        if len(hosts) != 1 or len(hosts[0]) > MAX_LENGTH:
            return False
        host = hosts[0].decode("latin-1").lower()
        own, asked = parse(origin), parse(f"http://{host}")
        if own is None or asked is None or not is_sendable(origin):
            return False
        # A browser leaves out the default port, whichever scheme it speaks to the proxy.
        port = "" if asked.port in ("80", "443") else asked.port
        if (own.host, own.port) != (asked.host, port):
            return False
        return self._allowed_hosts is None or any(
            _is_host(asked.host.removesuffix("."), allowed) for allowed in self._allowed_hosts
        )


def _is_host(host: str, allowed: str) -> bool:
    """Tell whether *host* matches *allowed*, an entry of Django's ``ALLOWED_HOSTS``."""
    if allowed.startswith("."):
        return host == allowed[1:] or host.endswith(allowed)
    return allowed in ("*", host)


def _shown(lines: list[bytes]) -> str | None:
    return b", ".join(lines).decode("latin-1") if lines else None


def _origin_problems(option: str, origin: str) -> Iterator[str]:
    if origin in ("*", "null"):
        yield (
            f"{option}: {origin!r} would let any page open a WebSocket as its visitor;"
            f" {OWN_ORIGINS}"
        )
    elif origin != "same-origin":
        yield from problems(option, origin)
