"""Give every request and WebSocket an ID, and show it wherever the request shows.

    application = RequestIDMiddleware(get_asgi_application())

A caller's ``X-Request-ID`` is kept when it is safe to log and to send back;
otherwise a new ID takes its place. Views find it with :func:`get_request_id`, in
``request.scope["state"]["request_id"]`` and in ``request.headers``; log lines get
it from :class:`RequestIDFilter` or :func:`install_record_factory`; the client gets it
back as a response header, also on a WebSocket handshake and on a refused one; other
services get it from :func:`outgoing_headers`.

Belongs outermost, but for health checks: whatever logs or answers further in
then does it with the ID.
"""

import inspect
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

from asgiref.sync import markcoroutinefunction

from ._headers import OWS, is_token, replaced
from ._trust import Trusted, problems_with, trust
from .errors import ConfigurationError
from .trace_context import get_trace_context
from .types import ASGIApp, Header, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

# The ID, and the name of the header that hands it on, in lower case.
_current: ContextVar[tuple[str, str] | None] = ContextVar("request_id", default=None)

_DEFAULT_HEADER = "X-Request-ID"
_LONGEST = 128
# What no option lifts: 1 to 128 characters of visible ASCII. It keeps line breaks out of
# headers and logs whatever a validator thinks of them.
_FLOOR = re.compile(r"[\x21-\x7e]{1,128}")
_USUAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~+/=:@-]{0,127}")
# Not uuid.UUID(), which also takes braces, a URN, dashes anywhere, and 100 kB of them.
_UUID = re.compile(r"(?i:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


def get_request_id() -> str | None:
    """Return the ID of the request that this code runs for, None outside of one."""
    current = _current.get()
    return None if current is None else current[0]


def generate_request_id() -> str:
    """Return 32 random hexadecimal digits, which also make a valid W3C trace ID."""
    return os.urandom(16).hex()


def uuid7_hex() -> str:
    """Return a UUID of version 7 without dashes: such IDs sort by the millisecond.

    https://www.rfc-editor.org/rfc/rfc9562#section-5.7
    """
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10))
    version, variant = 0x7 << 76, 0b10 << 62
    random &= ~((0xF << 76) | (0b11 << 62))
    return f"{milliseconds << 80 | random | version | variant:032x}"


def is_valid_request_id(request_id: str) -> bool:
    """Accept the IDs that are in use: UUID, ULID, KSUID, those of AWS, Heroku, Cloudflare."""
    return _USUAL.fullmatch(request_id) is not None


def is_uuid(request_id: str) -> bool:
    """Accept UUIDs of any version, with dashes or without, in either case, and nothing else."""
    return _UUID.fullmatch(request_id) is not None


@contextmanager
def request_id_context(request_id: str | None = None) -> Generator[str]:
    """Give an ID to code that no request has called: a command, a task, a test.

        with request_id_context(task.headers.get("request_id")) as request_id: ...

    None makes a new ID. At the end of the block the ID is what it was before. Raises
    ValueError for an ID that is not 1 to 128 characters of visible ASCII.
    """
    chosen = generate_request_id() if request_id is None else request_id
    if not _FLOOR.fullmatch(chosen):
        raise ValueError(
            f"request_id_context: {chosen!r:.200} is not 1 to 128 characters of visible ASCII;"
            " leave it out for a new ID"
        )
    before = _current.get()
    header = _DEFAULT_HEADER.lower() if before is None else before[1]
    token = _current.set((chosen, header))
    try:
        yield chosen
    finally:
        # ValueError: this is another context, as where a coroutine that nobody awaits
        # any more is thrown away during somebody else's request. Nothing to restore there.
        with suppress(ValueError):
            _current.reset(token)


def outgoing_headers() -> dict[str, str]:
    """Return the headers that hand this request's ID on to another service.

        await client.get(url, headers=outgoing_headers())

    Names are in lower case: that of the request ID, and inside
    :class:`asgi_middleware.TraceContextMiddleware` ``traceparent``, with a new parent ID
    for each call of this function, and ``tracestate`` where there is one. Empty outside
    of a request.
    """
    headers: dict[str, str] = {}
    if (current := _current.get()) is not None:
        request_id, header = current
        headers[header] = request_id
    if (trace := get_trace_context()) is not None:
        headers["traceparent"] = trace.child().traceparent
        if trace.tracestate:
            headers["tracestate"] = trace.tracestate
    return headers


class RequestIDMiddleware:
    """Set, hand down and send back the ID of each HTTP request and WebSocket.

    Options, all keyword-only:

    * ``header_name``: the request and response header.
    * ``fallback_headers``: more request headers to look at, in order; they reach the app
      as they were sent.
    * ``generator``: ``() -> str``, for a request that brings no valid ID.
    * ``validator``: ``(str) -> bool``, what to accept from a caller, on top of 1 to
      128 visible ASCII characters; None accepts all of those. One that raises refuses.
    * ``transformer``: ``(str) -> str``, applied to the ID, accepted or generated.
    * ``trusted``: whose IDs to accept. True for everybody's, False for nobody's, a list of
      addresses, networks (``"10.0.0.0/8"``) and ``"unix"`` for clients on a Unix socket,
      or ``(scope) -> bool``; it is about ``scope["client"]``, which servers take from
      ``X-Forwarded-For`` where they trust a proxy. One that raises does not trust.
    * ``update_request_header``: whether the app finds the ID in the request's header; if
      not, it finds there what was sent, refused values as well.
    * ``response_header``: whether the client gets it back.

    What ``generator`` or ``transformer`` returns has to be 1 to 128 visible ASCII
    characters as well. If it is not, or if one of them raises, that is logged as an
    error, and a generated ID stands in.

    Raises :class:`ConfigurationError` for options that cannot work, such as a header
    name that is no token (RFC 9110, section 5.1) or holds ``_``, which proxies and WSGI
    take for ``-``.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        header_name: str = _DEFAULT_HEADER,
        fallback_headers: Sequence[str] = (),
        generator: Callable[[], str] = generate_request_id,
        validator: Callable[[str], bool] | None = is_valid_request_id,
        transformer: Callable[[str], str] | None = None,
        trusted: Trusted = True,
        update_request_header: bool = True,
        response_header: bool = True,
    ) -> None:
        problems = [
            *_problems_with_header("header_name", header_name),
            *_problems_with_fallback(fallback_headers),
            *_problems_with_function("generator", generator, "uuid7_hex"),
            *_problems_with_function("validator", validator, "is_uuid", optional=True),
            *_problems_with_function("transformer", transformer, "str.lower", optional=True),
            *problems_with(trusted),
            *_problems_with_switch("update_request_header", update_request_header),
            *_problems_with_switch("response_header", response_header),
        ]
        if problems:
            raise ConfigurationError("RequestIDMiddleware", problems)

        self.app = app
        self._header = header_name.lower().encode()
        self._outgoing_header = header_name.lower()
        self._fallback = [name.lower().encode() for name in fallback_headers]
        self._generated = (
            generator
            if generator is generate_request_id  # which never fails
            else partial(self._made, "generator", generator)
        )
        self._accepts = _acceptance(validator)
        self._transformer = transformer
        self._trusts = trust(trusted)
        self._update_request_header = update_request_header
        self._response_header = response_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)

        headers: list[Header] = list(scope.get("headers", ()))
        own = self._header
        # Servers send names in lower case, as ASGI asks of them.
        sent = [value for name, value in headers if name == own]

        # Whatever is there is not ours: a server may start a kept-alive connection's next
        # request in the context of the one before.
        outer = _current.get()
        if outer is not None:
            _current.set(None)
        request_id = self._incoming(scope, headers, sent) if sent or self._fallback else None
        if request_id is None:
            request_id = self._generated()
        if self._transformer is not None:
            request_id = self._made("transformer", partial(self._transformer, request_id))
        _current.set((request_id, self._outgoing_header))

        value = request_id.encode()
        if sent != [value]:
            if logger.isEnabledFor(logging.DEBUG):
                self._tell_of_refusal(scope, headers)
            if self._update_request_header:
                headers = replaced(headers, own, value) if sent else [*headers, (own, value)]
        if self._response_header:
            send = _echoing(send, (own, value), scope["type"])
        state = {**scope.get("state", {}), "request_id": request_id}
        await self.app({**scope, "headers": headers, "state": state}, receive, send)

        # An app called within an app gives its caller the caller's ID back. Not when
        # it raised: the server's line about the exception then still has the ID.
        if outer is not None:
            _current.set(outer)

    def _incoming(self, scope: Scope, headers: list[Header], sent: list[bytes]) -> str | None:
        """Return the first valid ID that a trusted caller sent, in the order of the names."""
        if not self._trusts(scope):
            return None
        request_id = self._accepted(sent)
        for name in self._fallback:
            if request_id is not None:
                break
            request_id = self._accepted([value for key, value in headers if key == name])
        return request_id

    def _accepted(self, sent: list[bytes]) -> str | None:
        """Return the value of a header, if it is valid and there are no two different ones."""
        # Blanks around a value are not part of it (RFC 9110, section 5.5), but httptools
        # leaves them there.
        if len(sent) != 1 and len({value.strip(OWS) for value in sent}) != 1:
            return None
        value = sent[0].strip(OWS)
        # Before anything looks at it: a server may let in a header of megabytes.
        if len(value) > _LONGEST:
            return None
        request_id = value.decode("latin-1")
        return request_id if self._accepts(request_id) else None

    def _made(self, what: str, function: Callable[[], str]) -> str:
        """Return the ID that *function* makes, or a generated one where it makes none."""
        error: Exception | None = None
        made: object = None
        try:
            made = request_id = function()
            if _FLOOR.fullmatch(request_id):
                return request_id
        except Exception as raised:  # noqa: BLE001 -- logged below, with the ID that stands in
            error = raised
        request_id = generate_request_id()
        _current.set((request_id, self._outgoing_header))
        if error is not None:
            logger.error(
                "the %s of request IDs failed; a generated one stands in", what, exc_info=error
            )
        else:
            logger.error(
                "the %s of request IDs returned %.200r, not 1 to 128 visible ASCII"
                " characters; a generated one stands in",
                what,
                made,
            )
        return request_id

    def _tell_of_refusal(self, scope: Scope, headers: list[Header]) -> None:
        """Log which names brought nothing of use; without the value, which is a stranger's."""
        refused: list[str] = []
        for name in (self._header, *self._fallback):
            sent = [value for key, value in headers if key == name]
            if sent and self._accepted(sent):
                break
            if sent:
                refused.append(name.decode())
        if not refused:
            return
        if self._trusts(scope):
            logger.debug("refused the ID in %s", ", ".join(refused))
        else:
            logger.debug("the peer is not trusted with a request ID")


class RequestIDFilter(logging.Filter):
    """Set ``record.request_id``, so that a format can name ``%(request_id)s``.

    Put it on handlers: a logger's own filters do not see what its children log. It
    never drops a record and never overwrites an ID given by ``extra``.
    ``default_value`` stands where there is no request; ``length`` cuts longer IDs.
    Raises :class:`ConfigurationError` for a ``length`` that is not 1 or more.
    """

    def __init__(self, default_value: str = "-", length: int | None = None) -> None:
        _check_logging("RequestIDFilter", default_value, length)
        super().__init__()
        self.default_value = default_value
        self.length = length

    def filter(self, record: logging.LogRecord) -> bool:
        _add_request_id(record, self.default_value, self.length)
        return True


def install_record_factory(
    default_value: str = "-", length: int | None = None
) -> Callable[[], None]:
    """Set ``request_id`` on every log record where it is made, and return what undoes it.

    Instead of :class:`RequestIDFilter`: it needs no handler to be named, and reaches
    those that work in another thread (``QueueListener``) or belong to others. A factory
    that was there before still makes the record. To install it again replaces it; to
    undo it does nothing while another factory has been put over it.

    Then ``extra={"request_id": ...}`` is a KeyError, as for every attribute that a record
    has. Options and errors are those of the filter.
    """
    _check_logging("install_record_factory", default_value, length)
    previous = logging.getLogRecordFactory()
    if isinstance(previous, _RecordFactory):
        previous = previous.previous
    factory = _RecordFactory(previous, default_value, length)
    logging.setLogRecordFactory(factory)

    def undo() -> None:
        if logging.getLogRecordFactory() is factory:
            logging.setLogRecordFactory(previous)

    return undo


class _RecordFactory:
    def __init__(
        self, previous: Callable[..., logging.LogRecord], default_value: str, length: int | None
    ) -> None:
        self.previous = previous
        self._default_value = default_value
        self._length = length

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self.previous(*args, **kwargs)
        _add_request_id(record, self._default_value, self._length)
        return record


def _add_request_id(record: logging.LogRecord, default_value: str, length: int | None) -> None:
    fields: dict[str, Any] = record.__dict__
    if "request_id" not in fields:
        fields["request_id"] = (get_request_id() or default_value)[:length]


# The messages that carry a response's headers.
# https://asgi.readthedocs.io/en/latest/specs/www.html
# https://asgi.readthedocs.io/en/latest/extensions.html#websocket-denial-response
_WITH_HEADERS = frozenset(
    {"http.response.start", "websocket.accept", "websocket.http.response.start"}
)


def _echoing(send: Send, ours: Header, protocol: str) -> Send:
    """Return a ``send`` that puts *ours* in the place of every header of its name.

    A plain function that returns what ``send`` returns: half of what a coroutine costs.
    """
    own = ours[0]

    def echoing(message: Message) -> Awaitable[None]:
        if message["type"] in _WITH_HEADERS:
            headers = [h for h in message.get("headers", ()) if h[0].lower() != own]
            headers.append(ours)
            message = {**message, "headers": headers}
        return send(message)

    # A sync consumer of Channels gives it to async_to_sync, which warns of what looks sync.
    return echoing if protocol == "http" else markcoroutinefunction(echoing)


def _acceptance(validator: Callable[[str], bool] | None) -> Callable[[str], object]:
    """Return the check of what was sent: the floor, and then the validator."""
    if validator is None:
        return _FLOOR.fullmatch
    if validator is is_valid_request_id:
        return _USUAL.fullmatch  # which is above the floor

    def accepts(request_id: str) -> bool:
        if not _FLOOR.fullmatch(request_id):
            return False
        try:
            return bool(validator(request_id))
        except Exception:  # noqa: BLE001 -- not logged: its message may hold the value
            return False

    return accepts


def _problems_with_header(option: str, name: object) -> list[str]:
    if not isinstance(name, str) or not is_token(name.encode()):
        return [f"{option}: {name!r} is no header name; write {_DEFAULT_HEADER!r}"]
    if "_" in name:
        return [
            (
                f"{option}: {name!r} holds '_', which servers drop or take for '-';"
                f" write {name.replace('_', '-')!r}"
            )
        ]
    return []


def _problems_with_fallback(names: object) -> list[str]:
    if isinstance(names, str):
        return [f"fallback_headers: {names!r} is a string; write {[names]!r}"]
    if not isinstance(names, Sequence):
        return [f"fallback_headers: {names!r} is no list; write ['X-Correlation-ID']"]
    listed = cast("Sequence[object]", names)
    return [
        problem for name in listed for problem in _problems_with_header("fallback_headers", name)
    ]


def _problems_with_function(
    option: str, function: object, example: str, *, optional: bool = False
) -> list[str]:
    if function is None and optional:
        return []
    if not callable(function):
        return [f"{option}: {function!r} cannot be called; write the function, as in {example}"]
    if inspect.iscoroutinefunction(function):
        return [f"{option}: {function!r} is async; write a plain function"]
    return []


def _problems_with_switch(option: str, value: object) -> list[str]:
    return (
        [] if isinstance(value, bool) else [f"{option}: {value!r} is no bool; write True or False"]
    )


def _check_logging(subject: str, default_value: object, length: object) -> None:
    problems: list[str] = []
    if not isinstance(default_value, str):
        problems.append(f"default_value: {default_value!r} is no string; write '-'")
    if length is not None and (not isinstance(length, int) or length < 1):
        problems.append(f"length: {length!r} is not 1 or more; write 8, or None for the whole ID")
    if problems:
        raise ConfigurationError(subject, problems)
