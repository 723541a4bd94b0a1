"""The least that four middleware could cost: one function that does the work of all four.

The function is written for the options of the benchmark, and checks nothing that cannot happen
there. The difference between it and the stack is what separate layers cost.
"""
# ruff: noqa: C901 -- one function, on purpose.

import os
import re
from collections.abc import Awaitable
from contextvars import ContextVar
from time import perf_counter
from typing import Any

from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send

_USUAL = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._~+/=:@-]{0,127}").fullmatch
_request_id: ContextVar[str | None] = ContextVar("limit_request_id", default=None)
_timing: ContextVar[Any] = ContextVar("limit_timing", default=None)


class Record:
    __slots__ = ("bytes_sent", "duration", "outcome", "phases", "started", "status", "ttfb")

    def __init__(self, started: float) -> None:
        self.started = started
        self.bytes_sent = 0
        self.duration: float | None = None
        self.outcome = ""
        self.phases: list[Any] = []


def observe(_: Record) -> None:
    """Do nothing, like the observer of the other arms."""


def fused(app: ASGIApp, policy: dict[str, Any]) -> ASGIApp:
    """Wrap *app* in request ID, timing, CORS with *policy*, and the state of a lifespan."""
    origins = {each.encode() for each in policy["allow_origins"]}
    methods = {each.encode() for each in policy["allow_methods"]}
    safelisted = ("accept", "accept-language", "content-language", "content-type")
    names = {*safelisted, *policy["allow_headers"]}
    listed = ", ".join(sorted(names)).encode()
    allowed_methods = ", ".join(policy["allow_methods"]).encode()

    async def middleware(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        record = Record(perf_counter())
        headers = scope["headers"]
        sent = origin = method = asked = None
        for name, value in headers:
            if name == b"x-request-id":
                sent = value
            elif name == b"origin":
                origin = value
            elif name == b"access-control-request-method":
                method = value
            elif name == b"access-control-request-headers":
                asked = value
        if sent is None or not _USUAL(sent):
            sent = os.urandom(16).hex().encode()
            headers = [*headers, (b"x-request-id", sent)]
        request_id = sent.decode()
        _request_id.set(request_id)
        _timing.set(record)
        own = (b"x-request-id", sent)
        is_allowed = origin in origins

        def edited(message: Message) -> Awaitable[None]:
            kind = message["type"]
            if kind == "http.response.body":
                record.bytes_sent += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return _completing(send(message), record)
            elif kind == "http.response.start":
                record.ttfb = ttfb = perf_counter() - record.started
                record.status = message["status"]
                vary = b""
                kept = []
                for header in message.get("headers", ()):
                    name = header[0].lower()
                    if name == b"vary":
                        vary = vary + b", " + header[1] if vary else header[1]
                    elif name not in _OURS:
                        kept.append(header)
                kept.append((b"vary", vary + b", Origin" if vary else b"Origin"))
                if is_allowed:
                    kept.append((b"access-control-allow-origin", origin))
                    kept.append((b"access-control-allow-credentials", b"true"))
                kept.append((b"server-timing", b"app;dur=%.1f" % (ttfb * 1000)))
                kept.append(own)
                message = {**message, "headers": kept}
            return send(message)

        try:
            if method is not None and origin is not None and scope["method"] == "OPTIONS":
                wanted = asked.decode().lower().split(",") if asked else ()
                granted = (
                    is_allowed and method in methods and all(w.strip() in names for w in wanted)
                )
                preflight = _VARY
                if granted:
                    preflight = [
                        *_VARY,
                        (b"access-control-allow-methods", allowed_methods),
                        (b"access-control-allow-headers", listed),
                        (b"access-control-max-age", b"600"),
                    ]
                status = 204 if granted else 403
                await edited(
                    {"type": "http.response.start", "status": status, "headers": preflight}
                )
                await edited({"type": "http.response.body", "body": b""})
            else:
                state = {**scope["state"], "request_id": request_id, "timing": record}
                await app({**scope, "headers": headers, "state": state}, receive, edited)
        finally:
            record.outcome = "ok" if record.duration is not None else "disconnect"
            observe(record)

    return middleware


_OURS = frozenset(
    {
        b"x-request-id",
        b"server-timing",
        b"access-control-allow-origin",
        b"access-control-allow-credentials",
    }
)
_VARY = [(b"vary", b"Access-Control-Request-Method, Access-Control-Request-Headers")]


async def _completing(sending: Awaitable[None], record: Record) -> None:
    await sending
    record.duration = perf_counter() - record.started
