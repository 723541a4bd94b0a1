"""Apps of every shape, and whether they start on the servers' own lifespan classes.

uvicorn, hypercorn and granian each have a class for the lifespan of an app, which runs in a test.
Daphne sends no lifespan: every app starts there.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast

import anyio
from asgiref.wsgi import WsgiToAsgi
from channels.auth import AuthMiddlewareStack  # type: ignore[import-untyped]
from channels.generic.http import AsyncHttpConsumer  # type: ignore[import-untyped]
from channels.generic.websocket import (  # type: ignore[import-untyped]
    AsyncJsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.routing import (  # type: ignore[import-untyped]
    ChannelNameRouter,
    ProtocolTypeRouter,
    URLRouter,
)
from channels.security.websocket import (  # type: ignore[import-untyped]
    AllowedHostsOriginValidator,
)
from django.core.handlers.asgi import ASGIHandler
from django.urls import path
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.responses import PlainTextResponse, StreamingResponse

from asgi_middleware import RequestIDMiddleware, ThreadPool, ThreadPoolMiddleware
from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send

from .server import COMPLETE, PATIENCE, start_failed

# --- dispatchers as people write them, without a thought for lifespan ---


async def websocket(scope: Scope, receive: Receive, send: Send) -> None:
    message = await receive()
    assert message["type"] == "websocket.connect"
    await send({"type": "websocket.accept"})


async def accepting(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.accept"})


async def accepting_later(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})


async def by_type(scope: Scope, receive: Receive, send: Send) -> None:
    app = ASGIHandler.__call__.__get__(object()) if scope["type"] == "http" else websocket
    await app(scope, receive, send)


async def by_key(scope: Scope, receive: Receive, send: Send) -> None:
    await {"http": websocket, "websocket": websocket}[scope["type"]](scope, receive, send)


async def by_path(scope: Scope, receive: Receive, send: Send) -> None:
    await {"/": websocket}[scope["path"]](scope, receive, send)


async def in_a_loop(scope: Scope, receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "websocket.disconnect":
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})


def plain(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
    return websocket(scope, receive, send)


class Dispatcher:
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await websocket(scope, receive, send)


# --- apps that return, raise, or send something else ---


async def returning(scope: Scope, receive: Receive, send: Send) -> None:
    pass


async def returning_later(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


def raising(error: BaseException, *, later: bool) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if later:
            await receive()
        raise error

    return app


async def with_a_task_group(scope: Scope, receive: Receive, send: Send) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(websocket, scope, receive, send)


def sending(*messages: Message, later: bool = False, swallows: bool = False) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if later:
            await receive()
        for message in messages:
            try:
                await send(message)
            except Exception:
                if not swallows or message["type"].startswith("lifespan."):
                    raise

    return app


# --- apps with a lifespan ---


async def reading_ahead(scope: Scope, receive: Receive, send: Send) -> None:
    """Read messages in a task, as a layer that watches for a disconnect does."""
    messages: asyncio.Queue[Message] = asyncio.Queue()

    async def read() -> None:
        while True:
            messages.put_nowait(await receive())

    reading = asyncio.create_task(read())
    try:
        await messages.get()
        await asyncio.sleep(0.4)  # longer than a test's PATIENCE
        await send(COMPLETE)
        await messages.get()
        await send({"type": "lifespan.shutdown.complete"})
    finally:
        reading.cancel()


@asynccontextmanager
async def failing(app: object) -> AsyncGenerator[None]:
    raise OSError("no database")
    yield


class Page(HTTPEndpoint):
    pass


class Socket(WebSocketEndpoint):
    pass


STARTED = "starts"
FAILED = "fails"
HANGS = "hangs"
WRONG = {"type": "http.response.start", "status": 200, "headers": []}

consumer: Any = AsyncJsonWebsocketConsumer.as_asgi()
routes = [path("", consumer)]
# What each server does with the bare app.
SHAPES: dict[str, tuple[ASGIApp, str]] = {
    "Django": (ASGIHandler.__call__.__get__(object()), STARTED),
    "a ProtocolTypeRouter": (ProtocolTypeRouter({}), STARTED),
    "a URLRouter": (URLRouter(routes), STARTED),
    "an AuthMiddlewareStack": (AuthMiddlewareStack(URLRouter(routes)), STARTED),
    "an OriginValidator": (AllowedHostsOriginValidator(URLRouter(routes)), STARTED),
    "a ChannelNameRouter": (ChannelNameRouter({}), STARTED),
    "an async consumer": (AsyncJsonWebsocketConsumer.as_asgi(), STARTED),
    "a sync consumer": (WebsocketConsumer.as_asgi(), STARTED),
    "an HTTP consumer": (AsyncHttpConsumer.as_asgi(), STARTED),
    "a WSGI app": (cast("Any", WsgiToAsgi)(lambda environ, start: []), STARTED),
    "a response of Starlette": (PlainTextResponse("hello"), STARTED),
    "a stream of Starlette": (StreamingResponse(iter(["hello"])), STARTED),
    "an endpoint of Starlette": (cast("ASGIApp", Page), STARTED),
    "a WebSocket endpoint of Starlette": (cast("ASGIApp", Socket), STARTED),
    "Starlette": (Starlette(), STARTED),
    "Starlette that fails": (Starlette(lifespan=failing), FAILED),
    "asserts the first message": (websocket, STARTED),
    "accepts before it receives": (accepting, STARTED),
    "accepts whatever it receives": (accepting_later, STARTED),
    "a dispatcher by type": (by_type, STARTED),
    "a dispatcher by key": (by_key, STARTED),
    "a dispatcher by path": (by_path, STARTED),
    "a loop over messages": (in_a_loop, HANGS),
    "a plain function": (plain, STARTED),
    "an object": (Dispatcher(), STARTED),
    "a partial": (partial(websocket), STARTED),
    "in layers of ours": (
        RequestIDMiddleware(ThreadPoolMiddleware(websocket, pool=ThreadPool())),
        STARTED,
    ),
    "returns": (returning, STARTED),
    "returns later": (returning_later, STARTED),
    "raises": (raising(ValueError("lifespan"), later=False), STARTED),
    "raises later": (raising(OSError("no database"), later=True), STARTED),
    "raises a group": (with_a_task_group, STARTED),
    "sends something else": (sending(WRONG), STARTED),
    "sends something else later": (sending(WRONG, later=True), STARTED),
    "hides that it sent something else": (sending(WRONG, later=True, swallows=True), STARTED),
    "sends an unknown message": (sending({"type": "lifespan.startup.done"}, later=True), STARTED),
    "completes without receiving": (sending(COMPLETE), STARTED),
    "completes and returns": (sending(COMPLETE, later=True), STARTED),
    "completes after something else": (sending(WRONG, COMPLETE, swallows=True), STARTED),
    "reads ahead": (reading_ahead, STARTED),
    "fails without receiving": (sending(start_failed("no database")), FAILED),
    "fails": (sending(start_failed("no database"), later=True), FAILED),
    "fails after something else": (sending(WRONG, start_failed("no"), swallows=True), FAILED),
}


# --- the servers' own lifespan classes, each as a function that starts and stops an app ---


async def on_uvicorn(app: ASGIApp) -> str:
    from uvicorn.config import Config
    from uvicorn.lifespan.on import LifespanOn

    lifespan = LifespanOn(Config(app, log_config=None, interface="asgi3"))
    await lifespan.startup()
    outcome = FAILED if lifespan.should_exit else STARTED
    await lifespan.shutdown()
    return outcome


async def on_granian(app: ASGIApp) -> str:
    from granian.asgi import LifespanProtocol

    lifespan = cast("Any", LifespanProtocol)(app)
    await lifespan.startup()
    outcome = FAILED if lifespan.interrupt else STARTED
    await lifespan.shutdown()
    return outcome


async def on_hypercorn(app: ASGIApp) -> str:
    from hypercorn.app_wrappers import ASGIWrapper
    from hypercorn.asyncio.lifespan import Lifespan
    from hypercorn.config import Config

    loop = asyncio.get_running_loop()
    lifespan = Lifespan(ASGIWrapper(cast("Any", app)), Config(), loop, {})
    task = loop.create_task(lifespan.handle_lifespan())
    await lifespan.wait_for_startup()
    if task.done() and task.exception():
        return FAILED
    await lifespan.wait_for_shutdown()
    await asyncio.wait({task}, timeout=PATIENCE)
    return STARTED


SERVERS: dict[str, Callable[[ASGIApp], Awaitable[str]]] = {
    "uvicorn": on_uvicorn,
    "granian": on_granian,
    "hypercorn": on_hypercorn,
}


async def outcome(server: str, app: ASGIApp, *, within: float = PATIENCE) -> str:
    """Return whether *app* starts, fails or hangs on *server*."""
    try:
        async with asyncio.timeout(within):
            return await SERVERS[server](app)
    except TimeoutError:
        return HANGS
