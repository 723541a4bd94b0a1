"""Refuse request bodies that are too large or too slow, before the app has read them."""

import asyncio
import logging
import math
from collections.abc import Callable, Iterator, Mapping

from .. import _options as options
from .._headers import trimmed, with_readable_headers
from .._messages import HTTP_DISCONNECT
from .._paths import ByPrefix, prefix_problems
from ..types import ASGIApp, Headers, Message, Receive, Scope, Send
from .refusal import Refusable, respond

logger = logging.getLogger("asgi_middleware.limits")

_ABOUT_BODY = frozenset({b"content-length", b"transfer-encoding"})
# Methods whose requests have a body only if a header says so.
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
_REASONS = {
    413: "The request body is larger than this server accepts.\n",
    408: "The request body did not arrive in time.\n",
}


class RequestBodyLimitMiddleware:
    """Respond with 413 to a request body that is too large, and with 408 to one that is too slow.

        RequestBodyLimitMiddleware(app, 1_000_000, paths={"/upload/": 1_000_000_000})

    * ``max_body_size``: the limit in bytes.
    * ``paths``: other limits for prefixes of the path below ``root_path``; the longest prefix
      decides, and None means no limit there.
    * ``timeout``: seconds that the client may pause before the next part of the body.
    * ``min_rate``: bytes per second that the client must send, on average, once ``timeout``
      seconds have passed. Only the time that the app waits for the body counts.

    A request whose ``Content-Length`` is too large is refused at once. Other bodies are counted as
    they arrive and refused as soon as they are too large: the app receives ``http.disconnect`` and
    no byte beyond the limit. If its response has already begun, there is no 413 or 408: the app
    only receives the disconnect.

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
            return await respond(scope, send, 413, _headers(scope), _REASONS[413], "refused")
        if limit is None and self._timeout is None:
            return await self.app(scope, receive, send)

        body = _Body(scope, receive, send, limit, self._timeout, self._min_rate, self._log)
        try:
            await self.app(scope, body.receive, body.send)
        except BaseException as error:
            if not body.explains(error):
                raise
        if body.refusal is not None:
            await body.refusal

    def _log(self, scope: Scope, status: int) -> None:
        """Log a refusal: the first as a WARNING, the rest at DEBUG, so as not to flood the log."""
        level = logging.DEBUG if self._warned else logging.WARNING
        self._warned = True
        logger.log(
            level,
            "a request body was refused with %d (%s %s); further refusals are logged at DEBUG"
            " here, and the access log has them all",
            status,
            scope["method"],
            options.shown(scope["path"]),
        )


class _Body(Refusable):
    """The body of one request as it arrives."""

    _size = 0
    _is_complete = False
    # Seconds that the app has waited: for the whole body, and since its last part.
    _waited = _paused = 0.0

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        limit: int | None,
        timeout: float | None,
        min_rate: float | None,
        log: Callable[[Scope, int], None],
    ) -> None:
        super().__init__(scope, receive, send)
        self._limit = math.inf if limit is None else limit
        self._timeout = timeout
        self._min_rate = min_rate
        self._log = log

    async def receive(self) -> Message:
        if self._is_complete or self.ended:
            return await super().receive()
        if self._timeout is None:
            message = await self.unless_ended(self._receive())
        else:
            message = await self._timely(self._timeout)
        if message is None:
            return HTTP_DISCONNECT
        if message["type"] == "http.request":
            self._size += len(message.get("body", b""))
            if self._size > self._limit:
                self._refuse(413)
                return HTTP_DISCONNECT
            self._is_complete = not message.get("more_body", False)
            self._paused = 0.0
        return message

    async def _timely(self, timeout: float) -> Message | None:
        rest = timeout - self._paused
        if self._min_rate is not None:
            rest = min(rest, timeout + self._size / self._min_rate - self._waited)
        loop = asyncio.get_running_loop()
        began = loop.time()
        timer = loop.call_later(rest, self._expire)
        try:
            return await self.unless_ended(self._receive())
        finally:
            # An app may wait in many short calls. Together they count as one pause.
            timer.cancel()
            waited = loop.time() - began
            self._waited += waited
            self._paused += waited

    def _expire(self) -> None:
        if not (self._is_complete or self.ended):  # another task may have received the rest
            self._refuse(408)

    def _refuse(self, status: int) -> None:
        self.refuse(status, _headers(self.scope), _REASONS[status], "refused")
        if self.refusal is not None:
            self._log(self.scope, status)


def _headers(scope: Scope) -> Headers:
    # The rest of the body is not read, so the connection cannot be used again. HTTP/2 ends only
    # the stream, and forbids the header. https://www.rfc-editor.org/rfc/rfc9110#section-15.5.14
    return [(b"connection", b"close")] if _is_http_1(scope) else []


def _announced_length(scope: Scope, headers: Headers) -> int | None:
    """Return the length that the headers announce, 0 for no body, None if it is unknown."""
    length: int | None = None
    for name, value in headers:
        if name in _ABOUT_BODY:
            if name == b"transfer-encoding" or not (digits := trimmed(value)).isdigit():
                return None
            # int() refuses thousands of digits, or is slow.
            length = int(digits) if len(digits) < 20 else int(digits.lstrip(b"0")[:20] or b"0")
    # https://www.rfc-editor.org/rfc/rfc9112#section-6.3
    if length is None and scope["method"] in _WITHOUT_BODY and _is_http_1(scope):
        return 0
    return length


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
