"""Which ID a request gets, and where the ID is sent."""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import cast

from .. import _options as options
from .._async import as_async
from .._headers import trimmed, values
from .._messages import WITH_HEADERS
from .._trust import Trusted, trust_check, trust_problems
from ..types import ASGIApp, Header, Message, Receive, Scope, Send
from .context import DEFAULT_HEADER, current_id
from .ids import (
    FLOOR,
    FLOOR_IN_WORDS,
    LONGEST,
    accepting,
    agree,
    generate_request_id,
    is_valid_request_id,
    reason,
)

logger = logging.getLogger("asgi_middleware.request_id")


class RequestIDMiddleware:
    """Give each HTTP request and WebSocket an ID, and send it back.

        application = RequestIDMiddleware(get_asgi_application(), trusted=["10.0.0.0/8"])

    * ``header_name``: the request and response header.
    * ``fallback_headers``: more request headers to read, in this order. They reach the app
      unchanged.
    * ``generator``: ``() -> str``, called for a request without a valid ID.
    * ``validator``: ``(str) -> bool``, decides which of the callers' IDs to accept, in addition
      to the rule for all IDs below. None applies only that rule. If it raises, the ID is refused.
    * ``transformer``: ``(str) -> str``, applied to every ID, accepted or generated.
    * ``trusted``: whose IDs to accept. True for everybody's, False for nobody's; a list of
      addresses, networks (``"10.0.0.0/8"``) and ``"unix"`` for clients on a Unix socket; or
      ``(scope) -> bool``; if it raises, the client is not trusted. A list is compared with
      ``scope["client"]``, which a server that trusts a proxy takes from ``X-Forwarded-For``.
    * ``update_request_header``: whether the app finds the ID in the request header. If False, the
      app sees the header as it was sent, even if its ID was refused.
    * ``response_header``: whether the client gets the ID.

    Every ID is 1 to 200 visible ASCII characters, including those of ``generator`` and
    ``transformer``. If either of them returns something else or raises, the middleware logs an
    error and uses a random ID.

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
        self._own = header_name.lower().encode()
        self._names = [self._own, *(name.lower().encode() for name in fallback_headers)]
        self._has_fallback = len(self._names) > 1
        self._mangled = _mangled(self._own)
        # The lengths of the names that may be mistaken for ours. Only 'ß' changes its length in
        # upper case: it becomes 'SS'.
        doubles = self._own.count(b"ss")
        self._lengths = tuple(range(len(self._own) - doubles, len(self._own) + 1))
        self._outgoing_header = header_name.lower()
        self._generator = generator
        self._validator = validator
        self._accepts = accepting(validator)
        self._transformer = transformer
        is_plain = generator is generate_request_id and transformer is None
        self._new_id = generate_request_id if is_plain else self._generate
        self._trusts = trust_check(trusted)
        self._update_request_header = update_request_header
        self._response_header = response_header
        # The only state that requests share: the headers that an INFO line has reported.
        self._told: set[bytes] = set()

    def __repr__(self) -> str:
        return options.repr_of(self, **self._options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)

        headers: list[Header] = list(scope.get("headers", ()))
        sent, is_imitated = self._values_in(headers)

        # An ID that is already there belongs to another request: on a kept-alive connection, a
        # server may start a request in the context of the previous one.
        outer = current_id.get()
        if outer is not None:
            current_id.set(None)
        if sent or is_imitated or self._has_fallback:
            request_id = self._choose(scope, headers, sent, is_imitated)
        else:
            request_id = self._new_id()
        current_id.set((request_id, self._outgoing_header))

        own, value = ours = (self._own, request_id.encode())
        if self._update_request_header and (is_imitated or sent != [value]):
            if sent or is_imitated:
                headers = [each for each in headers if not self._is_ours(each[0])]
            headers.append(ours)

        # A plain function that returns what `send` returns, at half the cost of a coroutine.
        def echo(message: Message) -> Awaitable[None]:
            if message["type"] in WITH_HEADERS:
                kept = [each for each in message.get("headers", ()) if each[0].lower() != own]
                kept.append(ours)
                message = {**message, "headers": kept}
            return send(message)

        if not self._response_header:
            app_send = send
        else:
            app_send = echo if scope["type"] == "http" else as_async(echo)
        state: dict[str, object] = {**(scope.get("state") or {}), "request_id": request_id}
        await self.app({**scope, "headers": headers, "state": state}, receive, app_send)

        # If another app called this one, restore that app's ID. If this app raises, its own ID
        # stays, for the server's log record of the exception.
        if outer is not None:
            current_id.set(outer)

    def _values_in(self, headers: list[Header]) -> tuple[list[bytes], bool]:
        """Return the values of our header, and whether another name could be mistaken for it."""
        own, lengths = self._own, self._lengths
        sent: list[bytes] = []
        is_imitated = False
        for name, value in headers:
            if len(name) in lengths:
                if name == own:
                    sent.append(value)
                elif self._is_ours(name):
                    is_imitated = True
                    if name.lower() == own:
                        sent.append(value)
        return sent, is_imitated

    def _is_ours(self, name: bytes) -> bool:
        """Tell whether WSGI, or Django 5.2.0, takes the header *name* for ours."""
        return len(name) in self._lengths and _mangled(name) == self._mangled

    def _choose(
        self, scope: Scope, headers: list[Header], sent: list[bytes], is_imitated: bool
    ) -> str:
        """Return the first valid ID of a trusted caller, in the order of the names, or a new one.

        *sent* and *is_imitated* are what :meth:`_values_in` returns.
        """
        accepted = None
        refusals: list[tuple[bytes, str]] = []
        if is_imitated and not sent:
            refusals.append((self._own, "its name has '_' instead of '-'"))
        trusts = self._trusts(scope)
        for name in self._names:
            lines = sent if name is self._own else values(headers, name)
            if not lines:
                continue
            if trusts:
                # A server may let in megabytes, so check the length before anything else.
                value = trimmed(lines[0])
                if len(value) <= LONGEST and (len(lines) == 1 or agree(lines)):
                    request_id = value.decode("latin-1")
                    if self._accepts(request_id):
                        accepted = request_id
                        break
            why = reason(lines, self._validator) if trusts else "its sender is not trusted"
            refusals.append((name, why))

        if accepted is None:
            accepted = self._new_id()
        elif self._transformer is not None:
            accepted = self._transformed(accepted)
        if refusals:
            current_id.set((accepted, self._outgoing_header))
            self._log(refusals)
        return accepted

    def _generate(self) -> str:
        return self._transformed(self._checked("generator", self._generator))

    def _transformed(self, request_id: str) -> str:
        if self._transformer is None:
            return request_id
        return self._checked("transformer", self._transformer, request_id)

    def _checked(self, option: str, function: Callable[..., str], *arguments: str) -> str:
        """Return the ID that the *function* of an option makes, or a random one if it fails."""
        made: object = None
        error: Exception | None = None
        try:
            made = request_id = function(*arguments)
            if FLOOR.fullmatch(request_id):
                return request_id
        except Exception as raised:  # noqa: BLE001 -- logged below, with the new ID
            error = raised
        request_id = generate_request_id()
        current_id.set((request_id, self._outgoing_header))
        problem = "failed" if error else f"returned {made!r:.200}, which is not {FLOOR_IN_WORDS}"
        logger.error("the request ID %s %s; using a random ID", option, problem, exc_info=error)
        return request_id

    def _log(self, refusals: list[tuple[bytes, str]]) -> None:
        """Log which headers had no valid ID, and why, but not their values, chosen by strangers."""
        for name, why in refusals:
            level, more = logging.DEBUG, ""
            if name not in self._told:
                self._told.add(name)
                level, more = logging.INFO, "; further lines like this are logged at DEBUG"
            logger.log(level, "ignored the request ID in %s: %s%s", name.decode(), why, more)


def _mangled(name: bytes) -> str:
    """Return the name of a header as WSGI and Django's ``request.META`` spell it."""
    return name.decode("latin-1").upper().replace("-", "_")


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
