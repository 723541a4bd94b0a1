"""Refuse WebSocket handshakes that come from other sites' pages."""

import logging
from collections.abc import Awaitable, Sequence

from .._headers import values, with_readable_headers
from .._origins import MAX_LENGTH, Patterns, is_pattern, parse, problem_with
from .._responses import send_text
from ..errors import ConfigurationError
from ..types import ASGIApp, Message, Receive, Scope, Send
from .configuration import origin_problems
from .function import OriginFunction, allows

logger = logging.getLogger("asgi_middleware.cors")

# What Django takes an empty ALLOWED_HOSTS for under DEBUG.
_LOCAL_HOSTS = (".localhost", "127.0.0.1", "[::1]")


class WebSocketOriginMiddleware:
    """Let in the WebSockets of this site's own pages, and of listed origins.

    Browsers send cookies with every handshake and apply no CORS to it, so any page could
    open a WebSocket as its visitor. https://www.rfc-editor.org/rfc/rfc6455#section-10.2

    * ``allow_origins``: origins and patterns as in :class:`CORSPolicy`, and
      ``same-origin``: host and port of ``Origin`` are those of ``Host``. The scheme does
      not count, because TLS often ends at a proxy.
    * ``allow_missing``: whether clients without an ``Origin`` come in: no browser is one.
    * ``allowed_hosts``: what ``Host`` may be for ``same-origin``, by Django's rules; pass
      ``settings.ALLOWED_HOSTS``. An empty list stands for this machine.
    * ``allow_origin_func``: ``(origin, scope) -> bool``, or an awaitable of one, asked
      last; only ``True`` allows.

    Raises :class:`ConfigurationError` for what cannot match, and for ``*`` and ``null``,
    which would let everybody in.
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
        if problems := _problems(allow_origins, allowed_hosts, allow_origin_func):
            raise ConfigurationError("WebSocketOriginMiddleware", problems)
        self.app = app
        listed = [origin for origin in allow_origins if origin != "same-origin"]
        self._same_origin = "same-origin" in allow_origins
        self._exact = frozenset(origin for origin in listed if not is_pattern(origin))
        self._patterns = Patterns([origin for origin in listed if is_pattern(origin)])
        self._allow_missing = allow_missing
        self._allowed_hosts = None if allowed_hosts is None else allowed_hosts or _LOCAL_HOSTS
        self._allow_origin_func = allow_origin_func

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
        await _refuse(scope, receive, send)

    async def _allows(self, origins: list[bytes], hosts: list[bytes], scope: Scope) -> bool:
        if not origins:
            return self._allow_missing
        if len(origins) != 1 or len(origins[0]) > MAX_LENGTH:
            return False
        origin = origins[0].decode("latin-1")
        if problem_with(origin) or is_pattern(origin):
            return False  # no browser sends it: `null`, or malformed
        if origin in self._exact or self._patterns.match(origin):
            return True
        if self._same_origin and self._is_same(origin, hosts):
            return True
        function = self._allow_origin_func
        return function is not None and await allows(function, origin, scope)

    def _is_same(self, origin: str, hosts: list[bytes]) -> bool:
        """Tell whether *origin* is the site itself, as far as ``Host`` tells."""
        if len(hosts) != 1 or len(hosts[0]) > MAX_LENGTH:
            return False
        host = hosts[0].decode("latin-1").lower()
        own, asked = parse(origin), parse(f"http://{host}")
        if own is None or asked is None:
            return False
        # Where the proxy speaks TLS, a browser leaves out 443; where it does not, 80.
        port = "" if asked.port in ("80", "443") else asked.port
        if (own.host, own.port) != (asked.host, port):
            return False
        return self._allowed_hosts is None or any(
            _is_host(asked.host.removesuffix("."), allowed) for allowed in self._allowed_hosts
        )


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer the handshake with a 403, in the way that the server has for it."""
    await receive()  # websocket.connect, which has to be taken before an answer
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        # https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1; servers make a 403 of it.
        return await send({"type": "websocket.close", "code": 1008})

    def denying(message: Message) -> Awaitable[None]:
        return send({**message, "type": f"websocket.{message['type']}"})

    # https://asgi.readthedocs.io/en/latest/extensions.html#websocket-denial-response
    await send_text(denying, 403, (), "this origin is not allowed")


def _is_host(host: str, allowed: str) -> bool:
    """Tell whether *host* matches *allowed*, an entry of Django's ``ALLOWED_HOSTS``."""
    allowed = allowed.lower()
    if allowed.startswith("."):
        return host == allowed[1:] or host.endswith(allowed)
    return allowed in ("*", host)


def _shown(lines: list[bytes]) -> str | None:
    return b", ".join(lines).decode("latin-1") if lines else None


def _problems(
    allow_origins: Sequence[str],
    allowed_hosts: Sequence[str] | None,
    allow_origin_func: OriginFunction | None,
) -> list[str]:
    problems = [
        f"{option}: {value!r} is a string; write a list, [{value!r}]"
        for option, value in (("allow_origins", allow_origins), ("allowed_hosts", allowed_hosts))
        if isinstance(value, str)
    ]
    if problems:
        return problems
    problems += [
        f"allow_origins: {origin!r} would let any page act as its visitors; list origins, or"
        " decide in allow_origin_func"
        for origin in allow_origins
        if origin in ("*", "null")
    ]
    listed = [origin for origin in allow_origins if origin != "same-origin"]
    problems += origin_problems("allow_origins", listed)
    if allow_origin_func is not None and not callable(allow_origin_func):
        problems.append(
            f"allow_origin_func: {allow_origin_func!r} cannot be called; write a function of the"
            " origin and the scope"
        )
    return problems
