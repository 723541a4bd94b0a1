"""Carry a W3C trace through Django, in a project without OpenTelemetry.

    middleware = compose(RequestIDMiddleware, TraceContextMiddleware)

A caller's ``traceparent`` is continued, and a trace begins where there is none. Code
finds it with :func:`get_trace_context`, and hands it on to the services that it calls
with :func:`asgi_middleware.outgoing_headers`. No spans are recorded or exported.

Belongs next to the request ID, outside whatever logs or calls other services. It does
not belong beside OpenTelemetry, whose propagator has to see the headers as they were
sent: it would take the parent ID made here, which is in nobody's trace, for its parent.

https://www.w3.org/TR/trace-context-1/, and for the flag ``random``
https://www.w3.org/TR/trace-context-2/#random-trace-id-flag
"""

import os
import re
from contextvars import ContextVar
from dataclasses import dataclass, replace

from ._headers import OWS, elements, values
from ._trust import Trusted, problems_with, trust
from .errors import ConfigurationError
from .types import ASGIApp, Headers, Receive, Scope, Send

_SAMPLED = 0x01
_RANDOM = 0x02

# Version 00 ends after 55 characters; a later one, ff excepted, may go on after a dash.
# https://www.w3.org/TR/trace-context-1/#versioning-of-traceparent
_TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}"
    r"-(?P<trace_id>(?!0{32})[0-9a-f]{32})"
    r"-(?P<parent_id>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?:-.*)?"
)
# https://www.w3.org/TR/trace-context-1/#key and #value; the key of a tenant holds an '@'.
_MEMBER = re.compile(
    rb"(?P<key>[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MOST_MEMBERS = 32
# https://www.w3.org/TR/trace-context-1/#tracestate-limits
_FORWARDED = 512
_LONG_MEMBER = 128


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The trace that a request is part of.

    ``trace_id`` is 32 hexadecimal digits, the same in every service. ``parent_id`` is
    16, made here, and names this request to what it calls. ``tracestate`` is the header
    of that name, for other tracing systems; empty where there is none.
    """

    trace_id: str
    parent_id: str
    flags: int
    tracestate: str = ""

    @property
    def sampled(self) -> bool:
        """Whether the caller may have recorded this trace."""
        return bool(self.flags & _SAMPLED)

    @property
    def random(self) -> bool:
        """Whether the last 7 bytes of the trace ID are said to be random."""
        return bool(self.flags & _RANDOM)

    @property
    def traceparent(self) -> str:
        """The header of that name, version 00."""
        return f"00-{self.trace_id}-{self.parent_id}-{self.flags:02x}"

    def child(self) -> "TraceContext":
        """Return this trace with a new ``parent_id``, for one request to another service."""
        return replace(self, parent_id=_new_parent_id())


_current: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)


def get_trace_context() -> TraceContext | None:
    """Return the trace of the request that this code runs for, None where there is none."""
    return _current.get()


class TraceContextMiddleware:
    """Continue the trace of each HTTP request and WebSocket, or begin one.

    ``trusted`` says whose headers to believe, as for
    :class:`asgi_middleware.RequestIDMiddleware`: a client that nobody vouches for could
    otherwise have all its requests recorded, or join a trace of others. For such a
    client a new trace begins.

    The app finds exactly one ``traceparent`` among the request's headers, of this
    request. Raises :class:`ConfigurationError` for a ``trusted`` that cannot work.
    """

    def __init__(self, app: ASGIApp, *, trusted: Trusted = True) -> None:
        if problems := problems_with(trusted):
            raise ConfigurationError("TraceContextMiddleware", problems)
        self.app = app
        self._trusts = trust(trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)

        headers: Headers = list(scope.get("headers", ()))
        trace = (continued(headers) if self._trusts(scope) else None) or begun()

        # Set whatever was there before, and given back only to a caller that goes on:
        # as for the request ID.
        outer = _current.get()
        _current.set(trace)
        await self.app({**scope, "headers": _with_trace(headers, trace)}, receive, send)
        if outer is not None:
            _current.set(outer)


def begun() -> TraceContext:
    """Return a new trace; nobody has recorded any of it yet."""
    return TraceContext(os.urandom(16).hex(), _new_parent_id(), _RANDOM)


def continued(headers: Headers) -> TraceContext | None:
    """Return the trace that a request's headers tell of, None unless they do it properly.

    Of the flags, those that are reserved are not handed on: version 00 has them zero.
    https://www.w3.org/TR/trace-context-1/#other-flags
    """
    headers = list(headers)
    sent = values(headers, b"traceparent")
    if len(sent) != 1:
        return None
    match = _TRACEPARENT.fullmatch(sent[0].strip(OWS).decode("latin-1"))
    if match is None:
        return None
    flags = int(match["flags"], 16) & (_SAMPLED | _RANDOM)
    members = members_of(values(headers, b"tracestate"))
    return TraceContext(
        match["trace_id"], _new_parent_id(), flags, b",".join(forwarded(members)).decode("ascii")
    )


def members_of(tracestates: list[bytes]) -> list[bytes]:
    """Return the members of all ``tracestate`` fields, in order; none if one is bad.

    Empty members are allowed, and not counted.
    https://www.w3.org/TR/trace-context-1/#tracestate-header-field-values
    """
    members = elements(b",".join(tracestates))
    if len(members) > _MOST_MEMBERS:
        return []
    keys = {match["key"] for member in members if (match := _MEMBER.fullmatch(member))}
    # One is missing there for a member of bad syntax, and for each key that comes again.
    return members if len(keys) == len(members) else []


def forwarded(members: list[bytes]) -> list[bytes]:
    """Return *members* that take at most 512 bytes: whole ones, long ones cut first."""
    kept = list(members)
    while len(b",".join(kept)) > _FORWARDED:
        long = [member for member in kept if len(member) > _LONG_MEMBER]
        kept.remove((long or kept)[-1])
    return kept


def _with_trace(headers: Headers, trace: TraceContext) -> Headers:
    ours = [(b"traceparent", trace.traceparent.encode())]
    if trace.tracestate:
        ours.append((b"tracestate", trace.tracestate.encode()))
    others = [h for h in headers if h[0].lower() not in (b"traceparent", b"tracestate")]
    return [*others, *ours]


def _new_parent_id() -> str:
    return os.urandom(8).hex()
