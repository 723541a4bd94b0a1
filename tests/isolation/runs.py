"""What runs: pages, streams, consumers, tasks and contexts, each taking the steps of a cell."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, ClassVar, cast

from asgiref.sync import async_to_sync, sync_to_async
from channels.consumer import AsyncConsumer, SyncConsumer  # type: ignore[import-untyped]
from channels.db import database_sync_to_async  # type: ignore[import-untyped]
from channels.exceptions import StopConsumer  # type: ignore[import-untyped]
from channels.generic.http import AsyncHttpConsumer  # type: ignore[import-untyped]
from django.core.asgi import get_asgi_application
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from asgi_middleware.django import get_asgi_application as get_our_application
from asgi_middleware.testing import recording, websocket
from asgi_middleware.types import ASGIApp, Receive, Scope, Send

from .cell import PATIENCE, Arm, Cell, Step, finished, handled, plain

Run = Callable[[Cell, Arm], Awaitable[None]]


def state_of(request: HttpRequest) -> dict[str, Any]:
    # Only ASGI requests have this attribute.
    return cast("dict[str, Any]", cast("Any", request).scope["state"])


def cell_of(request: HttpRequest) -> Cell:
    return cast("Cell", state_of(request)["cell"])


# --- pages ---


def ben(request: HttpRequest) -> HttpResponse:
    return HttpResponse(cell_of(request).visit())


def sync_view(request: HttpRequest) -> HttpResponse:
    cell = cell_of(request)
    cell.take([*cell.first, *cell.middle, *cell.last])
    return HttpResponse()


async def async_view(request: HttpRequest) -> HttpResponse:
    cell = cell_of(request)
    await cell.atake([*cell.first, *cell.middle, *cell.last])
    return HttpResponse()


def sync_view_calling_async_code(request: HttpRequest) -> HttpResponse:
    cell = cell_of(request)
    cell.take(cell.first)
    async_to_sync(cell.atake)([*cell.middle, *cell.last])
    return HttpResponse()


async def async_view_with_tasks(request: HttpRequest) -> HttpResponse:
    cell = cell_of(request)
    await cell.atake(cell.first)
    for steps in (cell.middle, cell.last):
        await asyncio.create_task(cell.atake(steps))
    return HttpResponse()


def sync_stream(request: HttpRequest) -> StreamingHttpResponse:
    cell = cell_of(request)
    cell.take(cell.first)

    def parts() -> Iterator[bytes]:
        cell.take(cell.middle)
        yield b"middle"
        cell.take(cell.last)
        yield b"last"

    return StreamingHttpResponse(parts())


async def async_stream(request: HttpRequest) -> StreamingHttpResponse:
    cell = cell_of(request)
    await cell.atake(cell.first)

    async def parts() -> AsyncGenerator[bytes]:
        await cell.atake(cell.middle)
        yield b"middle"
        await cell.atake(cell.last)
        yield b"last"

    return StreamingHttpResponse(parts())


async def async_view_after_middleware(request: HttpRequest) -> HttpResponse:
    cell = cell_of(request)
    await cell.atake([*cell.middle, *cell.last])
    return HttpResponse()


async def stream_after_middleware(request: HttpRequest) -> StreamingHttpResponse:
    cell = cell_of(request)

    async def parts() -> AsyncGenerator[bytes]:
        yield b"first"
        await cell.atake(cell.middle)
        yield b"middle"
        await cell.atake(cell.last)

    return StreamingHttpResponse(parts())


class FirstSteps:
    """A sync middleware that takes the first steps, as if it set a tenant or a language."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path != "/ben/":
            cell = cell_of(request)
            cell.take(cell.first)
        return self.get_response(request)


class File:
    """Takes the middle steps when it is read, and the last ones when it is closed."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._parts = iter([b"middle"])

    def read(self, _size: int = -1) -> bytes:
        part = next(self._parts, b"")
        if part:
            self._cell.take(self._cell.middle)
        return part

    def close(self) -> None:
        self._cell.take(self._cell.last)


def file(request: HttpRequest) -> FileResponse:
    cell = cell_of(request)
    cell.take(cell.first)
    return FileResponse(cast("Any", File(cell)))


async def starts_task(request: HttpRequest) -> HttpResponse:
    cell = cell_of(request)
    cell.task = asyncio.create_task(afterwards(cell))
    return HttpResponse()


async def sets_and_starts_task(request: HttpRequest) -> HttpResponse:
    cell = cell_of(request)
    await sync_to_async(cell.set)()
    return await starts_task(request)


async def spawns(request: HttpRequest) -> HttpResponse:
    cell = cell_of(request)
    state_of(request)["tasks"].spawn(lambda: afterwards(cell))
    return HttpResponse()


async def sets_and_spawns(request: HttpRequest) -> HttpResponse:
    cell = cell_of(request)
    await sync_to_async(cell.set)()
    return await spawns(request)


async def afterwards(cell: Cell) -> None:
    try:
        await finished(cell.ended)
        await cell.bens()
        await cell.atake([*cell.first, *cell.middle, *cell.last])
    finally:
        cell.done.set()


PAGES = (
    *(ben, sync_view, sync_view_calling_async_code, async_view, async_view_with_tasks),
    *(sync_stream, async_stream, file),
    *(async_view_after_middleware, stream_after_middleware),
    *(starts_task, sets_and_starts_task, spawns, sets_and_spawns),
)
urlpatterns = [path(f"{page.__name__}/", page) for page in PAGES]


@cache
def django(*middleware: str, arm: Arm = plain) -> ASGIApp:
    make: Any = get_our_application if arm is handled else get_asgi_application
    with override_settings(MIDDLEWARE=middleware):
        return recording(make())


def page(view: Callable[..., object], *middleware: type[object]) -> Run:
    async def run(cell: Cell, arm: Arm) -> None:
        names = (f"{each.__module__}.{each.__qualname__}" for each in middleware)
        app = django(*names, arm=arm)
        async with arm(cell, app):
            if not cell.sets:
                await cell.bens()
            await cell.request(f"/{view.__name__}/")

    return run


def task(view: Callable[..., object]) -> Run:
    async def run(cell: Cell, arm: Arm) -> None:
        async with arm(cell, django(arm=arm)):
            await cell.request(f"/{view.__name__}/")
            await finished(cell.done)

    return run


# --- consumers ---


def cell_in(consumer: Any) -> Cell:
    return cast("Cell", consumer.scope["state"]["cell"])


class Async(AsyncConsumer):  # type: ignore[misc]
    """Takes the first steps on connect, the middle ones on receive, the last on disconnect."""

    call: ClassVar[Any] = staticmethod(sync_to_async)

    async def take(self, steps: list[Step]) -> None:
        await cell_in(self).atake(steps, self.call)

    async def websocket_connect(self, message: object) -> None:
        await self.take(cell_in(self).first)
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, message: object) -> None:
        await self.take(cell_in(self).middle)
        await self.send({"type": "websocket.send", "text": "done"})

    async def websocket_disconnect(self, message: object) -> None:
        await self.take(cell_in(self).last)
        raise StopConsumer


class AsyncDatabase(Async):
    call = staticmethod(database_sync_to_async)


class AsyncAtOnce(Async):
    """Takes all steps while it handles one message."""

    async def websocket_connect(self, message: object) -> None:
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, message: object) -> None:
        cell = cell_in(self)
        await self.take([*cell.first, *cell.middle, *cell.last])
        await self.send({"type": "websocket.send", "text": "done"})

    async def websocket_disconnect(self, message: object) -> None:
        raise StopConsumer


class StartsTask(Async):
    """Starts a task that takes the steps when the socket has been closed."""

    async def websocket_connect(self, message: object) -> None:
        cell = cell_in(self)
        cell.task = asyncio.create_task(afterwards(cell))
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, message: object) -> None:
        await self.send({"type": "websocket.send", "text": "done"})

    async def websocket_disconnect(self, message: object) -> None:
        raise StopConsumer


class Sync(SyncConsumer):  # type: ignore[misc]
    def take(self, steps: list[Step]) -> None:
        cell_in(self).take(steps)

    def websocket_connect(self, message: object) -> None:
        self.take(cell_in(self).first)
        self.send({"type": "websocket.accept"})

    def websocket_receive(self, message: object) -> None:
        self.take(cell_in(self).middle)
        self.send({"type": "websocket.send", "text": "done"})

    def websocket_disconnect(self, message: object) -> None:
        self.take(cell_in(self).last)
        raise StopConsumer


class SyncAtOnce(Sync):
    """Takes all steps while it handles one message."""

    def websocket_connect(self, message: object) -> None:
        self.send({"type": "websocket.accept"})

    def websocket_receive(self, message: object) -> None:
        cell = cell_in(self)
        self.take([*cell.first, *cell.middle, *cell.last])
        self.send({"type": "websocket.send", "text": "done"})

    def websocket_disconnect(self, message: object) -> None:
        raise StopConsumer


class Http(AsyncHttpConsumer):  # type: ignore[misc]
    """A request that Channels serves."""

    async def handle(self, body: bytes) -> None:
        cell = cell_in(self)
        await cell.atake([*cell.first, *cell.middle, *cell.last])
        await self.send_response(200, b"")


async def http_consumer(cell: Cell, arm: Arm) -> None:
    async with arm(cell, by_path(django(), cast("Any", Http).as_asgi())):
        await cell.request("/channels/")


def by_path(pages: ASGIApp, channels: ASGIApp) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise ValueError("no lifespan here, as in Channels")
        await (channels if scope["path"] == "/channels/" else pages)(scope, receive, send)

    return app


def consumer(kind: Any) -> Run:
    async def run(cell: Cell, arm: Arm) -> None:
        async with arm(cell, by_type(django(), kind.as_asgi())):
            await cell.bens()
            scope = {"state": {"cell": cell}}
            async with websocket(cell.app, scope=scope, timeout=2 * PATIENCE) as socket:
                await cell.ben()
                await socket.send("go on")
                await socket.receive()
                await cell.ben()
            cell.ended.set()
            if kind is StartsTask:
                await finished(cell.done)

    return run


def by_type(http: ASGIApp, sockets: ASGIApp) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise ValueError("no lifespan here, as in Channels")
        await (http if scope["type"] == "http" else sockets)(scope, receive, send)

    return app


# --- a context of the lifespan ---


async def context(cell: Cell, arm: Arm) -> None:
    @asynccontextmanager
    async def around(_state: object) -> AsyncGenerator[None]:
        await cell.bens()
        await cell.atake([*cell.first, *cell.middle])
        yield
        await cell.atake(cell.last)

    async with arm(cell, django(), around):
        await cell.ben()


# --- rows of the table ---

REQUESTS: dict[str, Run] = {
    "sync view": page(sync_view),
    "async view": page(async_view),
    "sync stream": page(sync_stream),
    "async stream": page(async_stream),
    "sync middleware, async stream": page(stream_after_middleware, FirstSteps),
    "FileResponse": page(file),
}
# Other ways to make calls, which find their thread by the same rule.
VARIATIONS: dict[str, Run] = {
    "sync view, async_to_sync": page(sync_view_calling_async_code),
    "async view with tasks": page(async_view_with_tasks),
    "sync middleware, async view": page(async_view_after_middleware, FirstSteps),
    "AsyncHttpConsumer": http_consumer,
}
CONSUMERS: dict[str, Run] = {
    "async consumer": consumer(Async),
    "async consumer, database_sync_to_async": consumer(AsyncDatabase),
    "sync consumer": consumer(Sync),
}
CONSUMERS_AT_ONCE: dict[str, Run] = {
    "async consumer, one message": consumer(AsyncAtOnce),
    "sync consumer, one message": consumer(SyncAtOnce),
}
LASTING: dict[str, Run] = {
    "task that outlives its request": task(starts_task),
    "task that outlives its socket": consumer(StartsTask),
    "supervised task": task(spawns),
    "context of the lifespan": context,
}
# Code that would find what a request has set if the two were not kept apart.
LOOKING: dict[str, Run] = {
    **CONSUMERS,
    "task whose request has set it": task(sets_and_starts_task),
    "task that outlives its socket": consumer(StartsTask),
    "supervised task, spawned by who has set it": task(sets_and_spawns),
    "context of the lifespan": context,
}
OWNERS: dict[str, Run] = {
    **REQUESTS,
    **VARIATIONS,
    **CONSUMERS,
    **CONSUMERS_AT_ONCE,
    **LASTING,
}
