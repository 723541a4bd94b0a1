"""Small apps for tests, and messages that they send."""

from collections.abc import Awaitable, Callable
from typing import Any

from asgi_middleware.types import ASGIApp, Receive, Scope, Send

START: dict[str, Any] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain")],
}
BODY: dict[str, Any] = {"type": "http.response.body", "body": b"hello"}


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve every protocol: send a page, echo a WebSocket, complete startup and shutdown."""
    match scope["type"]:
        case "http":
            await send(START)
            await send(BODY)
        case "websocket":
            await echo(scope, receive, send)
        case _:
            await lives(scope, receive, send)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Accept a WebSocket and send each message back, until it is closed."""
    await receive()
    await send({"type": "websocket.accept", "headers": [(b"x-app", b"echo")]})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


async def lives(scope: Scope, receive: Receive, send: Send) -> None:
    """Complete startup and shutdown."""
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})


def sending(*messages: Any) -> ASGIApp:
    """Return an app that sends *messages* at every call."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return app


def answering(*headers: tuple[bytes, bytes], status: int = 200) -> ASGIApp:
    """Return an app that responds with these headers and an empty body."""
    start = {"type": "http.response.start", "status": status, "headers": list(headers)}
    return sending(start, {"type": "http.response.body"})


def doing(function: Callable[[Scope], Awaitable[None] | None]) -> ASGIApp:
    """Return an app that calls *function* with the scope, then responds like :func:`hello`."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        awaitable = function(scope)
        if awaitable is not None:
            await awaitable
        await hello(scope, receive, send)

    return app
