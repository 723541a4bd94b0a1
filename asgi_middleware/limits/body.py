"""Refuse request bodies that are too large or too slow, before the app has read them."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Iterator, Mapping

from .. import _options as options
from .._headers import trimmed, with_readable_headers
from .._messages import HTTP_DISCONNECT
from .._paths import ByPrefix, prefix_problems
from .._responses import send_text
from ..types import ASGIApp, Header, Headers, Message, Receive, Scope, Send

logger = logging.getLogger("asgi_middleware.limits")

# Methods whose requests have a body only if a header says so.
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
_TOO_LARGE = "The request body is larger than this server takes.\n"
_TOO_SLOW = "The request body did not arrive in time.\n"


class RequestBodyLimitMiddleware:
    """Respond 413 to a request body that is too large, and 408 to one that is too slow.

        RequestBodyLimitMiddleware(app, 1_000_000, paths={"/upload/": 1_000_000_000})

    * ``max_body_size``: the limit in bytes.
    * ``paths``: other limits for prefixes of the path below ``root_path``; the longest prefix
      decides, and None means no limit there.
    * ``timeout``: seconds that the client may pause before the next part of the body.
    * ``min_rate``: bytes per second that the client has to send, on average, once ``timeout``
      seconds have passed. Only the time in which the app waits for the body counts.

    A ``Content-Length`` that is too large is refused at once. Other bodies are counted as they
    arrive and refused as soon as they are too large: the app receives ``http.disconnect`` and no
    byte beyond the limit. If the app has already begun its response, it only receives that.

    Raises :class:`ConfigurationError` for options that cannot work.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_body_size: int,
        *,
        paths: Mapping[str, int | None] | None = None,
        timeout: float | None = None,
        min_rate: float | None = None,
    ) -> None:
        options.check(
            "RequestBodyLimitMiddleware",
            options.whole_number("max_body_size", max_body_size, 0, example=1_000_000),
            prefix_problems("paths", paths, "{'/upload/': 1_000_000_000}", _limit_problems),
            options.seconds("timeout", timeout, optional=True, example=10.0),
            _rate_problems(min_rate, timeout),
        )
        self.app = app
        self._max_body_size = max_body_size
        self._limits = ByPrefix(paths or {}, max_body_size)
        self._timeout = timeout
        self._min_rate = min_rate
        self._warned = False

    def __repr__(self) -> str:
        return options.repr_of(
            self,
            max_body_size=self._max_body_size,
            paths=self._limits.given,
            timeout=self._timeout,
            min_rate=self._min_rate,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        scope, headers = with_readable_headers(scope)
        length = _announced_length(scope, headers)
        if length == 0:
            return await self.app(scope, receive, send)
        limit = self._limits.of(scope)
        if limit is not None and length is not None and length > limit:
            self._log(scope, 413)
            return await _refuse(scope, send, 413, _TOO_LARGE)
        if limit is None and self._timeout is None:
            return await self.app(scope, receive, send)

        body = _Body(scope, receive, send, limit, self._timeout, self._min_rate)
        try:
            await self.app(scope, body.receive, body.send)
        except Exception:
            if body.refused_with is None:
                raise
            # An app may raise when its client leaves, which is what it was told.
            logger.debug("the app raised after its request was refused", exc_info=True)
        if body.refused_with is not None:
            self._log(scope, body.refused_with)

    def _log(self, scope: Scope, status: int) -> None:
        """Log a refusal: the first one as a warning, others in debug, so that none floods it."""
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        logger.log(
            level,
            "a request body was refused with %d; the access log has each one, this logger from now"
            " on only at level DEBUG (%s %s)",
            status,
            scope["method"],
            options.shown(scope["path"]),
        )


class _Body:
    """The body of one request as it arrives, and the response as far as it has begun."""

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        limit: int | None,
        timeout: float | None,
        min_rate: float | None,
    ) -> None:
        self.refused_with: int | None = None
        self._scope = scope
        self._receive = receive
        self._send = send
        self._limit = math.inf if limit is None else limit
        self._timeout = timeout
        self._min_rate = min_rate
        self._size = 0
        self._waited = 0.0
        self._is_complete = False
        self._has_response = False

    async def receive(self) -> Message:
        if self.refused_with is not None:
            await asyncio.sleep(0)  # an app that asks in a loop lets others go on
            return HTTP_DISCONNECT
        if self._is_complete:
            return await self._receive()
        try:
            message = await self._next_part()
        except TimeoutError:
            return await self._refuse(408, _TOO_SLOW)
        if message["type"] != "http.request":
            return message
        self._size += len(message.get("body", b""))
        if self._size > self._limit:
            return await self._refuse(413, _TOO_LARGE)
        self._is_complete = not message.get("more_body", False)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        if self.refused_with is not None and not self._has_response:
            return _dropped(message)
        if message["type"] == "http.response.start":
            self._has_response = True
        return self._send(message)

    async def _next_part(self) -> Message:
        """Return the server's next message. Raises TimeoutError if the client is too slow."""
        if self._timeout is None:
            return await self._receive()
        rest = self._timeout
        if self._min_rate is not None:
            rest = min(rest, self._timeout + self._size / self._min_rate - self._waited)
        clock = asyncio.get_running_loop().time
        began = clock()
        async with asyncio.timeout(rest):
            message = await self._receive()
        self._waited += clock() - began
        return message

    async def _refuse(self, status: int, text: str) -> Message:
        self.refused_with = status
        if not self._has_response:
            await _refuse(self._scope, self._send, status, text)
        return HTTP_DISCONNECT


async def _refuse(scope: Scope, send: Send, status: int, text: str) -> None:
    # The rest of the body is not read, so the connection cannot be used again. HTTP/2 ends only
    # the stream, and forbids the header. https://www.rfc-editor.org/rfc/rfc9110#section-15.5.14
    headers: list[Header] = [(b"connection", b"close")] if _is_http_1(scope) else []
    await send_text(send, status, headers, text)


async def _dropped(message: Message) -> None:
    """Drop what an app sends after its request was refused; a stream is told to end."""
    await asyncio.sleep(0)
    if message.get("more_body", False):
        raise ConnectionResetError("the request was refused")


def _announced_length(scope: Scope, headers: Headers) -> int | None:
    """Return the length that the headers announce, 0 for no body, None if they do not say."""
    for name, value in headers:
        if name == b"content-length":
            length = trimmed(value)
            # More digits than any limit has; int() would take its time, or refuse.
            return int(length[:20]) if length.isdigit() else None
        if name == b"transfer-encoding":
            return None
    # https://www.rfc-editor.org/rfc/rfc9112#section-6.3
    return 0 if scope["method"] in _WITHOUT_BODY and _is_http_1(scope) else None


def _is_http_1(scope: Scope) -> bool:
    version: str = scope.get("http_version", "1.1")
    return version.startswith("1")


def _limit_problems(option: str, limit: object) -> Iterator[str]:
    return options.whole_number(option, limit, 0, example=1_000_000, optional=True)


def _rate_problems(min_rate: object, timeout: object) -> Iterator[str]:
    yield from options.number(
        "min_rate", min_rate, "bytes per second", optional=True, example=1_000
    )
    if min_rate is not None and timeout is None:
        yield f"min_rate: {options.shown(min_rate)} has no effect without a timeout; use None"
