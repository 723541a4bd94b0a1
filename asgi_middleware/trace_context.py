"""Carry a W3C trace through Django, in a project without OpenTelemetry.

    middleware = compose(RequestIDMiddleware, TraceContextMiddleware)

A request with a ``traceparent`` continues its caller's trace; one without starts a trace. Your
code reads the trace with :func:`get_trace_context`, and passes it on to other services with
:func:`asgi_middleware.outgoing_headers`. No spans are recorded or exported.

Belongs next to the request ID, outside everything that logs or calls other services. Do not use it
together with OpenTelemetry, whose propagator must see the headers as they were sent: the parent ID
that is generated here belongs to no span, so the trace would fall apart.

https://www.w3.org/TR/trace-context-1/, and for the flag ``random``
https://www.w3.org/TR/trace-context-2/#random-trace-id-flag
"""

import os
import re
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace

from . import _options as options
from ._headers import elements, trimmed, values
from ._trust import Trusted, trust_check, trust_problems
from .types import ASGIApp, Header, Headers, Receive, Scope, Send

_SAMPLED = 0x01
_RANDOM = 0x02

# Version 00 ends after 55 characters. Later versions, except ff, may continue after a dash.
# https://www.w3.org/TR/trace-context-1/#versioning-of-traceparent
_TRACEPARENT = re.compile(
    r"(?!ff|00.{54})[0-9a-f]{2}"
    r"-(?P<trace_id>(?!0{32})[0-9a-f]{32})"
    r"-(?P<parent_id>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?:-.*)?"
)
# https://www.w3.org/TR/trace-context-1/#key and #value; a multi-tenant key contains an '@'.
_MEMBER = re.compile(
    rb"(?P<key>[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})"
    rb"=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
)
_MOST_MEMBERS = 32
# A server may let in megabytes of headers. A header is refused unread if it is longer than that
# many members, or than a traceparent of a later version is likely to be.
_LONGEST_TRACESTATE = _MOST_MEMBERS * (256 + len("=") + 256 + len(","))
_LONGEST_TRACEPARENT = 512
# https://www.w3.org/TR/trace-context-1/#tracestate-limits
_MOST_BYTES = 512
_LONG_MEMBER = 128


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The trace that a request is part of.

    ``trace_id`` is 32 hexadecimal digits, the same in every service. ``parent_id`` is 16 digits,
    generated here; it identifies this request to the services that it calls. ``tracestate`` is the
    header of that name, for other tracing systems; it is empty if there is none.
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
        """Whether the last 7 bytes of the trace ID are declared to be random."""
        return bool(self.flags & _RANDOM)

    @property
    def traceparent(self) -> str:
        """The value of the header ``traceparent``, in version 00."""
        return f"00-{self.trace_id}-{self.parent_id}-{self.flags:02x}"

    def child(self) -> "TraceContext":
        """Return this trace with a new ``parent_id``, for one request to another service."""
        return replace(self, parent_id=_new_parent_id())


_current: ContextVar[TraceContext | None] = ContextVar("trace_context", default=None)


def get_trace_context() -> TraceContext | None:
    """Return the trace of the request that this code runs for, or None if there is none."""
    return _current.get()


class TraceContextMiddleware:
    """Continue the trace of each HTTP request and WebSocket, or start one.

        application = TraceContextMiddleware(get_asgi_application(), trusted=["10.0.0.0/8"])

    * ``trusted``: whose headers to believe, as for :class:`asgi_middleware.RequestIDMiddleware`.
      A client that is not trusted gets a new trace. If you trust everybody, any client can have
      all its requests recorded, or join somebody else's trace.

    The app finds exactly one ``traceparent`` among the request's headers: the one of this request.

    Raises :class:`ConfigurationError` for a ``trusted`` that cannot work.
    """

    def __init__(self, app: ASGIApp, *, trusted: Trusted = True) -> None:
        options.check("TraceContextMiddleware", trust_problems(trusted))
        self.app = app
        self._trusted = trusted
        self._trusts = trust_check(trusted)

    def __repr__(self) -> str:
        return options.repr_of(self, trusted=self._trusted)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)

        headers: list[Header] = list(scope.get("headers", ()))
        trace = (_continued_trace(headers) if self._trusts(scope) else None) or _new_trace()

        # As for the request ID: a trace that is already there belongs to another request. Restore
        # it for an app that has called this one, unless this app raises.
        outer = _current.get()
        _current.set(trace)
        await self.app({**scope, "headers": _with_trace(headers, trace)}, receive, send)
        if outer is not None:
            _current.set(outer)


def _new_trace() -> TraceContext:
    """Return a new trace, which is not sampled: nobody has recorded any of it."""
    return TraceContext(os.urandom(16).hex(), _new_parent_id(), _RANDOM)


def _continued_trace(headers: Sequence[Header]) -> TraceContext | None:
    """Return the trace that a request continues, or None if its headers are not valid.

    Reserved flags are not passed on: in version 00 they are zero.
    https://www.w3.org/TR/trace-context-1/#other-flags
    """
    sent = values(headers, b"traceparent")
    if len(sent) != 1 or len(sent[0]) > _LONGEST_TRACEPARENT:
        return None
    match = _TRACEPARENT.fullmatch(trimmed(sent[0]).decode("latin-1"))
    if match is None:
        return None
    flags = int(match["flags"], 16) & (_SAMPLED | _RANDOM)
    members = _members_of(values(headers, b"tracestate"))
    return TraceContext(
        match["trace_id"], _new_parent_id(), flags, b",".join(_shortened(members)).decode("ascii")
    )


def _members_of(tracestates: list[bytes]) -> list[bytes]:
    """Return the members of all ``tracestate`` fields, in order, or none if one is not valid.

    Empty members are allowed and not counted.
    https://www.w3.org/TR/trace-context-1/#tracestate-header-field-values
    """
    if sum(map(len, tracestates)) + len(tracestates) > _LONGEST_TRACESTATE:
        return []
    members = elements(b",".join(tracestates))
    if len(members) > _MOST_MEMBERS:
        return []
    keys = {match["key"] for member in members if (match := _MEMBER.fullmatch(member))}
    # A member with a syntax error or a repeated key adds no key.
    return members if len(keys) == len(members) else []


def _shortened(members: list[bytes]) -> list[bytes]:
    """Return as many whole *members* as fit into 512 bytes; long ones are dropped first."""
    kept = list(members)
    while len(b",".join(kept)) > _MOST_BYTES:
        long = [member for member in kept if len(member) > _LONG_MEMBER]
        kept.remove((long or kept)[-1])
    return kept


def _with_trace(headers: Headers, trace: TraceContext) -> list[Header]:
    ours = [(b"traceparent", trace.traceparent.encode())]
    if trace.tracestate:
        ours.append((b"tracestate", trace.tracestate.encode()))
    others = [h for h in headers if h[0].lower() not in (b"traceparent", b"tracestate")]
    return [*others, *ours]


def _new_parent_id() -> str:
    return os.urandom(8).hex()
