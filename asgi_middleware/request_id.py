"""Give every request and WebSocket an ID, and show it wherever the request shows.

    application = RequestIDMiddleware(get_asgi_application())

A caller's ``X-Request-ID`` is kept when it is safe to log and to send back;
otherwise a new ID takes its place. Views find it with :func:`get_request_id`, in
``request.scope["state"]["request_id"]`` and in ``request.headers``; log lines get
it from :class:`RequestIDFilter`; the client gets it back as a response header,
also on a WebSocket handshake and on a refused one.

Belongs outermost, but for health checks: whatever logs or answers further in
then does it with the ID.
"""

import logging
import os
import re
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import Any

from ._headers import OWS, is_token, replaced, values
from ._send import editing_headers
from .errors import ConfigurationError
from .types import ASGIApp, Headers, Receive, Scope, Send

logger = logging.getLogger(__name__)

_request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

# What no option lifts: 1 to 128 bytes of visible ASCII. It keeps line breaks out of
# headers and logs whatever a validator thinks of them.
_FLOOR = re.compile(rb"[\x21-\x7e]{1,128}")
_USUAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~+/=:@-]*")


def get_request_id() -> str | None:
    """Return the ID of the request that this code runs for, None outside of one."""
    return _request_id.get()


def generate_request_id() -> str:
    """Return 32 random hexadecimal digits, which also make a valid W3C trace ID."""
    return os.urandom(16).hex()


def is_valid_request_id(request_id: str) -> bool:
    """Accept the IDs that are in use: UUID, ULID, KSUID, those of AWS, Heroku, Cloudflare."""
    return _USUAL.fullmatch(request_id) is not None


class RequestIDMiddleware:
    """Set, hand down and send back the ID of each HTTP request and WebSocket.

    Options, all keyword-only:

    * ``header_name``: the request and response header.
    * ``generator``: ``() -> str``, for a request that brings no valid ID.
    * ``validator``: ``(str) -> bool``, what to accept from a caller, on top of 1 to
      128 visible ASCII characters; None accepts all of those.
    * ``update_request_header``: whether the app finds the ID in the request's header.
    * ``response_header``: whether the client gets it back.

    Raises :class:`ConfigurationError` for a ``header_name`` that is no token
    (RFC 9110, section 5.1) or holds ``_``, which proxies and WSGI take for ``-``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        header_name: str = "X-Request-ID",
        generator: Callable[[], str] = generate_request_id,
        validator: Callable[[str], bool] | None = is_valid_request_id,
        update_request_header: bool = True,
        response_header: bool = True,
    ) -> None:
        self.app = app
        self._header = _checked(header_name)
        self._generator = generator
        self._validator = validator
        self._update_request_header = update_request_header
        self._response_header = response_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)

        headers: Headers = list(scope.get("headers", ()))
        sent = values(headers, self._header)
        incoming = self._accepted(sent)
        request_id = incoming or self._generated()

        # Never read before: a server may start a kept-alive connection's next
        # request in the context of the one before.
        outer = _request_id.get()
        _request_id.set(request_id)
        if sent and not incoming:
            # After the ID is set, and without the value: it is a stranger's.
            logger.debug("replaced an invalid %s", self._header.decode())

        if self._update_request_header:
            headers = replaced(headers, self._header, request_id.encode())
        state = {**scope.get("state", {}), "request_id": request_id}
        if self._response_header:
            echo = partial(replaced, name=self._header, value=request_id.encode())
            send = editing_headers(send, echo)
        await self.app({**scope, "headers": headers, "state": state}, receive, send)

        # An app called within an app gives its caller the caller's ID back. Not when
        # it raised: the server's line about the exception then still has the ID.
        if outer is not None:
            _request_id.set(outer)

    def _accepted(self, sent: list[bytes]) -> str | None:
        """Return the ID that the caller sent, if it sent one and it may be used."""
        # Blanks around a value are not part of it (RFC 9110, section 5.5), but
        # httptools leaves them there.
        distinct = {value.strip(OWS) for value in sent}
        if len(distinct) != 1 or not _FLOOR.fullmatch(value := distinct.pop()):
            return None
        request_id = value.decode("ascii")
        if self._validator is None:
            return request_id
        try:
            return request_id if self._validator(request_id) else None
        except Exception:
            logger.exception("the validator of request IDs failed; the ID is replaced")
            return None

    def _generated(self) -> str:
        """Return a new ID; a generator that fails must not fail the request."""
        try:
            request_id = self._generator()
            if _FLOOR.fullmatch(request_id.encode()):
                return request_id
        except Exception:
            logger.exception("the generator of request IDs failed; a built-in one stands in")
        else:
            logger.error(
                "the generator of request IDs returned %.200r, not 1 to 128 visible ASCII"
                " characters; a built-in one stands in",
                request_id,
            )
        return generate_request_id()


class RequestIDFilter(logging.Filter):
    """Set ``record.request_id``, so that a format can name ``%(request_id)s``.

    Put it on handlers: a logger's own filters do not see what its children log. It
    never drops a record and never overwrites an ID given by ``extra``.
    ``default_value`` stands where there is no request; ``length`` cuts longer IDs.
    """

    def __init__(self, default_value: str = "-", length: int | None = None) -> None:
        super().__init__()
        self.default_value = default_value
        self.length = length

    def filter(self, record: logging.LogRecord) -> bool:
        fields: dict[str, Any] = record.__dict__
        if "request_id" not in fields:
            fields["request_id"] = (get_request_id() or self.default_value)[: self.length]
        return True


def _checked(header_name: str) -> bytes:
    """Return *header_name* as ASGI spells it, in lower-case bytes."""
    name = header_name.encode("utf-8").lower()
    problems: list[str] = []
    if not is_token(name):
        problems.append(f"header_name: {header_name!r} is no header name; write 'X-Request-ID'")
    if b"_" in name:
        problems.append(
            f"header_name: {header_name!r} holds '_', which servers drop or take for '-';"
            f" write {header_name.replace('_', '-')!r}"
        )
    if problems:
        raise ConfigurationError("RequestIDMiddleware", problems)
    return name
