"""Which ID a request gets, and where it goes."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import cast

from asgiref.sync import markcoroutinefunction

from .. import _options as options
from .._headers import OWS, replaced
from .._messages import WITH_HEADERS
from .._trust import Trusted, trust_check, trust_problems
from ..types import ASGIApp, Header, Message, Receive, Scope, Send
from .context import DEFAULT_HEADER, current_id
from .ids import FLOOR, LONGEST, USUAL, generate_request_id, is_valid_request_id

logger = logging.getLogger("asgi_middleware.request_id")


class RequestIDMiddleware:
    """Give each HTTP request and WebSocket an ID, and send it back.

        application = RequestIDMiddleware(get_asgi_application(), trusted=["10.0.0.0/8"])

    * ``header_name``: the request and response header.
    * ``fallback_headers``: more request headers to read, in this order. They reach the app
      unchanged.
    * ``generator``: ``() -> str``, called for a request without a valid ID.
    * ``validator``: ``(str) -> bool``, which IDs to accept from a caller, beyond the rule for all
      IDs below. None accepts all of those. If it raises, the ID is refused.
    * ``transformer``: ``(str) -> str``, applied to every ID, accepted or generated.
    * ``trusted``: whose IDs to accept. True for everybody's, False for nobody's; a list of
      addresses, networks (``"10.0.0.0/8"``) and ``"unix"`` for clients on a Unix socket; or
      ``(scope) -> bool``, which trusts nobody if it raises. It is about ``scope["client"]``, which
      a server that trusts a proxy takes from ``X-Forwarded-For``.
    * ``update_request_header``: whether the request header holds the ID when it reaches the app.
      Otherwise the app sees what was sent, even if it was refused.
    * ``response_header``: whether the client gets the ID.

    Every ID is 1 to 128 visible ASCII characters, also those of ``generator`` and
    ``transformer``. If one of these returns something else or raises, the middleware logs an error
    and uses a random ID.

    Raises :class:`ConfigurationError` for options that cannot work. A header name must be a token
    (RFC 9110, section 5.1) without ``_``, which proxies and WSGI read as ``-``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        header_name: str = DEFAULT_HEADER,
        fallback_headers: Sequence[str] = (),
        generator: Callable[[], str] = generate_request_id,
        validator: Callable[[str], bool] | None = is_valid_request_id,
        transformer: Callable[[str], str] | None = None,
        trusted: Trusted = True,
        update_request_header: bool = True,
        response_header: bool = True,
    ) -> None:
        options.check(
            "RequestIDMiddleware",
            _header_problems("header_name", header_name),
            _fallback_problems(fallback_headers),
            options.function("generator", generator, "uuid7_hex"),
            options.function("validator", validator, "is_uuid", optional=True),
            options.function("transformer", transformer, "str.lower", optional=True),
            trust_problems(trusted),
            options.boolean("update_request_header", update_request_header),
            options.boolean("response_header", response_header),
        )
        self.app = app
        self._options = {
            "header_name": header_name,
            "fallback_headers": fallback_headers,
            "generator": generator,
            "validator": validator,
            "transformer": transformer,
            "trusted": trusted,
            "update_request_header": update_request_header,
            "response_header": response_header,
        }
        self._header = header_name.lower().encode()
        self._outgoing_header = header_name.lower()
        self._fallback = [name.lower().encode() for name in fallback_headers]
        self._generate = (
            generator
            if generator is generate_request_id  # which never fails
            else partial(self._id_from, "generator", generator)
        )
        self._accepts = _accepting(validator)
        self._transformer = transformer
        self._trusts = trust_check(trusted)
        self._update_request_header = update_request_header
        self._response_header = response_header

    def __repr__(self) -> str:
        return options.repr_of(self, **self._options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)

        headers: list[Header] = list(scope.get("headers", ()))
        own = self._header
        # Servers send names in lower case, as ASGI asks them to.
        sent = [value for name, value in headers if name == own]

        # An ID that is already there belongs to another request: on a kept-alive connection, a
        # server may start a request in the context of the one before.
        outer = current_id.get()
        if outer is not None:
            current_id.set(None)
        request_id = self._incoming(scope, headers, sent) if sent or self._fallback else None
        if request_id is None:
            request_id = self._generate()
        if self._transformer is not None:
            request_id = self._id_from("transformer", partial(self._transformer, request_id))
        current_id.set((request_id, self._outgoing_header))

        value = request_id.encode()
        if sent != [value]:
            if logger.isEnabledFor(logging.DEBUG):
                self._log_refusal(scope, headers)
            if self._update_request_header:
                headers = replaced(headers, own, value) if sent else [*headers, (own, value)]
        if self._response_header:
            send = _echoing(send, (own, value), scope["type"])
        state = {**scope.get("state", {}), "request_id": request_id}
        await self.app({**scope, "headers": headers, "state": state}, receive, send)

        # An app that was called by another app gives its caller the caller's ID back. If it
        # raised, its own ID stays, for the server's log record of the exception.
        if outer is not None:
            current_id.set(outer)

    def _incoming(self, scope: Scope, headers: list[Header], sent: list[bytes]) -> str | None:
        """Return the first valid ID of a trusted caller, in the order of the header names."""
        if not self._trusts(scope):
            return None
        request_id = self._valid_id(sent)
        for name in self._fallback:
            if request_id is not None:
                break
            request_id = self._valid_id([value for key, value in headers if key == name])
        return request_id

    def _valid_id(self, sent: list[bytes]) -> str | None:
        """Return the one value of a header, or None if it is not valid or if values differ."""
        # Blanks around a value are not part of it (RFC 9110, section 5.5), but httptools
        # leaves them there.
        if len(sent) != 1 and len({value.strip(OWS) for value in sent}) != 1:
            return None
        value = sent[0].strip(OWS)
        # Checked first, because a server may let in a header of megabytes.
        if len(value) > LONGEST:
            return None
        request_id = value.decode("latin-1")
        return request_id if self._accepts(request_id) else None

    def _id_from(self, option: str, function: Callable[[], str]) -> str:
        """Return the ID that *function* makes, or a random one if it fails."""
        error: Exception | None = None
        made: object = None
        try:
            made = request_id = function()
            if FLOOR.fullmatch(request_id):
                return request_id
        except Exception as raised:  # noqa: BLE001 -- logged below, with the new ID
            error = raised
        request_id = generate_request_id()
        current_id.set((request_id, self._outgoing_header))
        if error is not None:
            logger.error("the request ID %s failed; using a random ID", option, exc_info=error)
        else:
            logger.error(
                "the request ID %s returned %.200r, which is not 1 to 128 visible ASCII"
                " characters; using a random ID",
                option,
                made,
            )
        return request_id

    def _log_refusal(self, scope: Scope, headers: list[Header]) -> None:
        """Log which headers had no valid ID, without their values, which strangers choose."""
        refused: list[str] = []
        for name in (self._header, *self._fallback):
            sent = [value for key, value in headers if key == name]
            if sent and self._valid_id(sent):
                break
            if sent:
                refused.append(name.decode())
        if not refused:
            return
        if self._trusts(scope):
            logger.debug("ignored the request ID in %s: not valid", ", ".join(refused))
        else:
            logger.debug("ignored the request ID: its sender is not trusted")


def _echoing(send: Send, ours: Header, protocol: str) -> Send:
    """Return a ``send`` that replaces every response header of our name with *ours*.

    It is a plain function that returns what ``send`` returns, at half the cost of a coroutine.
    """
    own = ours[0]

    def echoing(message: Message) -> Awaitable[None]:
        if message["type"] in WITH_HEADERS:
            headers = [h for h in message.get("headers", ()) if h[0].lower() != own]
            headers.append(ours)
            message = {**message, "headers": headers}
        return send(message)

    # A sync consumer of Channels passes it to async_to_sync, which warns of plain functions.
    return echoing if protocol == "http" else markcoroutinefunction(echoing)


def _accepting(validator: Callable[[str], bool] | None) -> Callable[[str], object]:
    """Return the check for an ID that was sent: first the floor, then *validator*."""
    if validator is None:
        return FLOOR.fullmatch
    if validator is is_valid_request_id:
        return USUAL.fullmatch  # stricter than the floor

    def accepts(request_id: str) -> bool:
        if not FLOOR.fullmatch(request_id):
            return False
        try:
            return bool(validator(request_id))
        except Exception:  # noqa: BLE001 -- not logged: its message may contain the value
            return False

    return accepts


def _header_problems(option: str, name: object) -> Iterator[str]:
    problems = [*options.header_name(option, name, DEFAULT_HEADER)]
    yield from problems
    if not problems and "_" in (name := cast("str", name)):
        way_out = name.replace("_", "-")
        yield f"{option}: {name!r} contains '_', which servers drop or read as '-'; use {way_out!r}"


def _fallback_problems(names: object) -> Iterator[str]:
    option, example = "fallback_headers", ["X-Correlation-ID"]
    if isinstance(names, AbstractSet):
        yield f"{option}: {options.shown(cast('object', names))} has no order; use {example!r}"
    else:
        yield from options.strings(option, names, example, each=_header_problems)
