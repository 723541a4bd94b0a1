"""Exchanges as data, an app that acts them out, and two ways to drive that app."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from asgi_middleware.testing import lifespan
from asgi_middleware.testing._call import AppCall
from asgi_middleware.testing._lint import HTTPLint, Lint, WebSocketLint
from asgi_middleware.testing.recording import recording
from asgi_middleware.types import ASGIApp, Message, Middleware, Receive, Scope, Send
from tests.apps import lives

from .middleware import ORIGIN

RECEIVE: Final = "receive"
# What an app does in one step: receive a message, send this message, or raise this exception.
Step = Literal["receive"] | dict[str, Any] | BaseException

HTTP_SCOPE: dict[str, Any] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.5"},
    "http_version": "1.1",
    "method": "POST",
    "scheme": "http",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "root_path": "",
    "headers": [(b"host", b"testserver"), (b"origin", ORIGIN.encode()), (b"x-request-id", b"abc")],
    "client": ("127.0.0.1", 50000),
    "server": ("testserver", 80),
    "extensions": {"http.response.trailers": {}},
}
WEBSOCKET_SCOPE: dict[str, Any] = {
    **{key: value for key, value in HTTP_SCOPE.items() if key != "method"},
    "type": "websocket",
    "scheme": "ws",
    "subprotocols": ["v1"],
    "extensions": {"websocket.http.response": {}},
}

CONNECT: dict[str, Any] = {"type": "websocket.connect"}
GONE: Mapping[str, dict[str, Any]] = {
    "http": {"type": "http.disconnect"},
    "websocket": {"type": "websocket.disconnect", "code": 1001, "reason": "away"},
}


@dataclass(frozen=True)
class Exchange:
    """What a client sends, what the app does, and what interrupts it.

    ``disconnect_at`` and ``cancel_at`` count the app's calls of receive and send, from 1. At a
    disconnect, the app returns, as Django does, unless it ``ignores_disconnect``.
    """

    scope: dict[str, Any]
    incoming: tuple[dict[str, Any], ...]
    steps: tuple[Step, ...]
    disconnect_at: int | None = None
    cancel_at: int | None = None
    ignores_disconnect: bool = False

    @property
    def kind(self) -> str:
        kind: str = self.scope["type"]
        return kind

    @property
    def awaits(self) -> int:
        return sum(not isinstance(step, BaseException) for step in self.steps)


def members(lines: Iterable[bytes]) -> list[bytes]:
    """Return the members of a list header, from all its lines."""
    return [part.strip() for line in lines for part in line.split(b",") if part.strip()]


@dataclass(frozen=True)
class Traffic:
    """What passed through a middleware, seen from both sides."""

    scope: Scope
    received: tuple[Message, ...]
    sent: tuple[Message, ...]
    exception: BaseException | None
    awaits: int
    receives: int
    receives_after_disconnect: int


def acting(exchange: Exchange) -> ASGIApp:
    """Return an app that takes the steps of *exchange*."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for step in exchange.steps:
            if isinstance(step, BaseException):
                raise step
            if isinstance(step, dict):
                await send(step)
                continue
            gone = (await receive())["type"].endswith(".disconnect")
            if gone and not exchange.ignores_disconnect:
                return

    return app


@asynccontextmanager
async def serving(middleware: Middleware, app: ASGIApp) -> AsyncGenerator[ASGIApp]:
    """Wrap *app* in *middleware*, and start and stop both as a server does."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        await (lives if scope["type"] == "lifespan" else app)(scope, receive, send)

    wrapped = middleware(served)
    async with lifespan(wrapped):
        yield wrapped


async def traffic(middleware: Middleware, exchange: Exchange) -> Traffic:
    """Drive the exchange as a server would, with *middleware* around the app."""
    app = recording(acting(exchange))
    async with serving(middleware, app) as wrapped:
        call = await _driven(wrapped, exchange)
    [seen] = app.calls
    return Traffic(
        scope=seen.scope,
        received=tuple(seen.received),
        sent=tuple(call.sent),
        exception=call.exception,
        awaits=call.awaits,
        receives=call.receives,
        receives_after_disconnect=call.receives_after_end,
    )


async def _driven(app: ASGIApp, exchange: Exchange) -> AppCall[Lint]:
    """Play the part of the server in *exchange*."""
    kind = HTTPLint if exchange.kind == "http" else WebSocketLint
    call: AppCall[Lint] = AppCall(app, exchange.scope, kind, timeout=10.0, strict=True)
    lint = call.lint
    gone = GONE[exchange.kind]

    def after_message() -> None:
        if isinstance(lint, HTTPLint) and lint.complete:
            call.finish_with(gone, discard=True)

    call.on_sent = after_message
    for message in exchange.incoming:
        call.put(message)
    if exchange.kind == "websocket":
        call.finish_with(gone, discard=False)
    if exchange.disconnect_at is not None:
        call.at[exchange.disconnect_at] = lambda: call.finish_with(gone, discard=True)
    if exchange.cancel_at is not None:
        call.at[exchange.cancel_at] = call.cancel
    call.start()
    try:
        await call.join()
    finally:
        await call.stop()
    call.verify()
    return call


async def call(
    app: ASGIApp, exchange: Exchange, *, raises: Mapping[int, BaseException] | None = None
) -> None:
    """Call *app* in this task, without a client.

    ``raises`` maps a number to an exception: the server raises it at that call of receive or send,
    counted from 1.
    """
    incoming = iter(exchange.incoming)
    count = 0

    def counted() -> None:
        nonlocal count
        count += 1
        if raises and count in raises:
            raise raises[count]

    async def receive() -> Message:
        counted()
        return next(incoming, GONE[exchange.kind])

    async def send(message: Message) -> None:
        counted()

    await app(exchange.scope, receive, send)


def _body(body: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


_START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain")],
}
_PART: dict[str, Any] = {"type": "http.response.body", "body": b"a", "more_body": True}

# One exchange of each kind. Together they have every kind of call of receive and send.
HTTP = Exchange(
    HTTP_SCOPE,
    (_body(b"a", more=True), _body(b"b", more=False)),
    (RECEIVE, RECEIVE, _START, _PART, {**_PART, "more_body": False}, RECEIVE),
)
WEBSOCKET = Exchange(
    WEBSOCKET_SCOPE,
    (CONNECT, {"type": "websocket.receive", "text": "a"}),
    (
        RECEIVE,
        {"type": "websocket.accept", "headers": [(b"x-app", b"1")]},
        RECEIVE,
        {"type": "websocket.send", "text": "a"},
        {"type": "websocket.close", "code": 1000},
    ),
)
DENIAL = Exchange(
    WEBSOCKET_SCOPE,
    (CONNECT,),
    (
        RECEIVE,
        {"type": "websocket.http.response.start", "status": 401, "headers": []},
        {"type": "websocket.http.response.body", "body": b"who are you"},
    ),
)
REFERENCES = {"http": HTTP, "websocket": WEBSOCKET, "denial": DENIAL}
