"""Inputs that once shared a request's thread, took too many threads, or never gave one back."""

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from io import BytesIO
from threading import Thread
from typing import Any, cast

import pytest
from asgiref.sync import sync_to_async
from channels.consumer import AsyncConsumer, SyncConsumer  # type: ignore[import-untyped]
from channels.exceptions import StopConsumer  # type: ignore[import-untyped]
from django.db import ProgrammingError, transaction
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from asgi_middleware import HealthMiddleware, ThreadPool, ThreadPoolMiddleware
from asgi_middleware.testing import request, stream, websocket
from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send
from tests.thread_pool.calls import until

from . import runs
from .cell import ARMS, PATIENCE, Cell, connections_closed, finished
from .runs import by_type, cell_in, cell_of, django, state_of
from .things import ANN, BEN, NONE, Attribute, DebugCursor, ExecuteWrapper, Note, RowIterator, Thing

pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous")

in_both_arms = pytest.mark.parametrize("arm", ARMS)
ages = pytest.mark.parametrize("age", [0, 60], ids=["CONN_MAX_AGE 0", "CONN_MAX_AGE 60"])


@pytest.fixture(autouse=True)
def _own_pages(_pages: None) -> Iterator[None]:
    with override_settings(ROOT_URLCONF=__name__):
        yield


# --- rows that arrive slice by slice ---

notes: Any = cast("Any", Note).objects
# The keys of Ann's notes, in order.
ALL = list(range(2, 201, 2))


async def iterate(found: list[int], between: Callable[[], Awaitable[object]]) -> None:
    """Collect the keys of Ann's notes, and await *between* after each slice."""
    async for note in notes.filter(owner=ANN).order_by("pk").aiterator(chunk_size=5):
        found.append(note.pk)
        if len(found) % 5 == 0:
            await between()


class Iterating(AsyncConsumer):  # type: ignore[misc]
    async def websocket_connect(self, message: object) -> None:
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, message: object) -> None:
        await iterate(cast("Any", self.scope)["state"]["found"], cell_in(self).ben)
        await self.send({"type": "websocket.send", "text": "done"})

    async def websocket_disconnect(self, message: object) -> None:
        raise StopConsumer


@in_both_arms
@ages
async def test_a_consumer_iterates_to_the_last_row(
    age: int, arm: str, sqlite: dict[str, Any]
) -> None:
    sqlite["CONN_MAX_AGE"] = age
    found: list[int] = []

    with connections_closed():
        await converse(arm, Iterating, found=found)

    assert found == ALL


async def converse(arm: str, consumer: Any, **state: object) -> None:
    """Send one message to the consumer, and wait for the response."""
    cell = Cell(RowIterator, sets=True)
    scope = {"state": {"cell": cell, **state}}
    async with (
        ARMS[arm](cell, by_type(django(), consumer.as_asgi())),
        websocket(cell.app, scope=scope, timeout=PATIENCE) as socket,
    ):
        await socket.send("go on")
        await socket.receive()
    assert set(cell.seen_by_ben) == {BEN}


async def exports_late(request: HttpRequest) -> HttpResponse:
    """Start a task that begins when this request has ended."""
    cell = cell_of(request)

    async def export() -> None:
        await finished(cell.ended)
        await iterate(state_of(request)["found"], cell.ben)

    cell.task = asyncio.create_task(export())
    return HttpResponse()


async def exports_early(request: HttpRequest) -> HttpResponse:
    """Start a task that has its first rows before this request ends."""
    cell = cell_of(request)
    begun = asyncio.Event()

    async def between() -> None:
        begun.set()
        await finished(cell.ended)
        await cell.ben()

    cell.task = asyncio.create_task(iterate(state_of(request)["found"], between))
    await finished(begun)
    return HttpResponse()


async def exported(arm: str, target: str, found: list[int]) -> None:
    """Await the task that the request starts, and raise what it raises."""
    cell = Cell(RowIterator, sets=True)
    async with ARMS[arm](cell, django()):
        await cell.request(target, found=found)
        assert cell.task is not None
        await cell.task
    assert set(cell.seen_by_ben) == {BEN}


@in_both_arms
@ages
async def test_a_task_that_outlives_its_request_iterates_to_the_last_row(
    age: int, arm: str, sqlite: dict[str, Any]
) -> None:
    sqlite["CONN_MAX_AGE"] = age
    found: list[int] = []

    with connections_closed():
        await exported(arm, "/exports-late/", found)

    assert found == ALL


@in_both_arms
async def test_an_iteration_on_the_connection_of_a_request_ends_with_the_request(
    arm: str, sqlite: dict[str, Any]
) -> None:
    found: list[int] = []

    with (
        connections_closed(),
        pytest.raises((ProgrammingError, sqlite3.ProgrammingError), match="closed database"),
    ):
        await exported(arm, "/exports-early/", found)

    assert found == ALL[:5]


# --- a transaction over several awaits ---


class RollingBack(AsyncConsumer):  # type: ignore[misc]
    async def websocket_connect(self, message: object) -> None:
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, message: object) -> None:
        cell = cell_in(self)
        atomic = transaction.atomic()
        await sync_to_async(atomic.__enter__)()
        await cell.ben()
        await notes.acreate(owner="rolled back")
        await cell.ben()
        await sync_to_async(transaction.set_rollback)(True)
        await cell.ben()
        await sync_to_async(atomic.__exit__)(None, None, None)
        await self.send({"type": "websocket.send", "text": "done"})

    async def websocket_disconnect(self, message: object) -> None:
        raise StopConsumer


@in_both_arms
@ages
async def test_a_consumer_rolls_back_what_it_has_written(
    age: int, arm: str, sqlite: dict[str, Any]
) -> None:
    sqlite["CONN_MAX_AGE"] = age

    with connections_closed():
        await converse(arm, RollingBack)

    database = sqlite3.connect(sqlite["NAME"])
    assert database.execute("SELECT DISTINCT owner FROM notes ORDER BY 1").fetchall() == [
        ("ann",),
        ("ben",),
    ]
    database.close()


# --- what an earlier request has left ---


@pytest.mark.parametrize("thing", [Attribute, ExecuteWrapper, DebugCursor], ids=lambda it: it.name)
async def test_state_on_a_connection_goes_when_the_connection_is_closed(
    thing: type[Thing], sqlite: dict[str, Any]
) -> None:
    threads: list[Thread] = []

    def leave() -> str:
        threads.append(threading.current_thread())
        return thing().visit(ANN)

    def look() -> str:
        threads.append(threading.current_thread())
        return thing().read()

    async with ThreadPool(size=1, max_overflow=0) as pool:
        app = ThreadPoolMiddleware(django(), pool=pool)
        assert await get(app, "/call/", leave) == (200, ANN)
        assert await get(app, "/call/", look) == (200, NONE)

    assert threads[0] is threads[1]


def call(request: HttpRequest) -> HttpResponse:
    """Call the function that the test has given."""
    return HttpResponse(state_of(request)["given"]())


async def get(app: ASGIApp, target: str, given: object = str) -> tuple[int | None, str]:
    scope = {"state": {"given": given}}
    response = await request(app, target=target, scope=scope, timeout=2 * PATIENCE)
    return response.status, response.text


# --- clients that do not read ---

UNREAD, SIZE, OVERFLOW = 24, 8, 8


class Unread:
    """Clients that do not read: whatever is sent to them waits until they are let go."""

    def __init__(self) -> None:
        self.count = 0
        self.let_go = asyncio.Event()

    def around(self, app: ASGIApp) -> ASGIApp:
        async def unread(scope: Scope, receive: Receive, send: Send) -> None:
            async def wait_and_send(message: Message) -> None:
                if message["type"] in ("http.response.body", "websocket.send"):
                    self.count += 1
                    await self.let_go.wait()
                await send(message)

            await app(scope, receive, wait_and_send)

        return unread


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(BytesIO(bytes(500_000)))


def sync_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(bytes(100_000) for _ in range(5))


async def async_stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncGenerator[bytes]:
        for _ in range(5):
            yield await sync_to_async(bytes)(100_000)

    return StreamingHttpResponse(parts())


class Sending(SyncConsumer):  # type: ignore[misc]
    def websocket_connect(self, message: object) -> None:
        self.send({"type": "websocket.accept"})
        for _ in range(5):
            self.send({"type": "websocket.send", "bytes": bytes(100_000)})

    def websocket_disconnect(self, message: object) -> None:
        raise StopConsumer


@asynccontextmanager
async def downloading(app: ASGIApp, target: str) -> AsyncGenerator[None]:
    async with stream(app, target=target, timeout=PATIENCE) as exchange:
        exchange.send_body(b"", more_body=False)
        yield


@asynccontextmanager
async def listening(app: ASGIApp, target: str) -> AsyncGenerator[None]:
    async with websocket(app, target, timeout=PATIENCE):
        yield


@pytest.mark.parametrize(
    ("connected", "target"),
    [
        pytest.param(downloading, "/file/", id="FileResponse"),
        pytest.param(downloading, "/sync-stream/", id="sync stream"),
        pytest.param(downloading, "/async-stream/", id="async stream"),
        pytest.param(listening, "/", id="sync consumer"),
    ],
)
async def test_clients_that_do_not_read_take_no_thread_from_others(
    connected: Any, target: str
) -> None:
    clients = Unread()

    async with ThreadPool(SIZE, max_overflow=OVERFLOW, timeout=PATIENCE) as pool:
        app = ThreadPoolMiddleware(by_type(django(), cast("Any", Sending).as_asgi()), pool=pool)
        async with AsyncExitStack() as stack:
            try:
                for _ in range(UNREAD):
                    await stack.enter_async_context(connected(clients.around(app), target))
                await until(lambda: clients.count == UNREAD)
                others = await asyncio.gather(*(get(app, "/call/") for _ in range(SIZE + OVERFLOW)))
            finally:
                clients.let_go.set()

    assert others == [(200, "")] * (SIZE + OVERFLOW)


async def test_sockets_that_are_not_read_keep_no_other_socket_waiting() -> None:
    clients = Unread()

    async with ThreadPool(SIZE, max_overflow=OVERFLOW, timeout=PATIENCE) as pool:
        app = ThreadPoolMiddleware(cast("Any", Sending).as_asgi(), pool=pool)
        async with AsyncExitStack() as stack:
            try:
                for _ in range(UNREAD):
                    await stack.enter_async_context(websocket(clients.around(app)))
                await until(lambda: clients.count == UNREAD)
                async with websocket(app) as reader:
                    received = [len(await reader.receive()) for _ in range(5)]
            finally:
                clients.let_go.set()

    assert received == [100_000] * 5


# --- threads that do not come back ---


class Endless:
    """Sync streams that go on, whether or not their clients are there, until they are let go."""

    def __init__(self) -> None:
        self.count = 0
        self.let_go = threading.Event()

    def has_begun(self, number: int) -> bool:
        return self.count == number

    def __call__(self) -> Iterator[bytes]:
        self.count += 1
        while not self.let_go.is_set():
            yield b"more"
            time.sleep(0.01)


def endless(request: HttpRequest, number: int) -> StreamingHttpResponse:
    return StreamingHttpResponse(state_of(request)["given"]())


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    """The warnings of this package, in order."""
    messages: list[str] = []
    # Not caplog, whose handler Django's setup removes.
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("asgi_middleware")
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


staying = pytest.mark.parametrize(
    "stay", [True, False], ids=["clients that stay", "clients that leave"]
)


@staying
async def test_one_log_line_names_the_requests_that_hold_all_threads(
    stay: bool, warnings: list[str]
) -> None:
    async with ThreadPool(3, max_overflow=0, timeout=0.2) as pool:
        app = ThreadPoolMiddleware(django(), pool=pool)
        async with endless_streams(app, stay=stay) as clients:
            assert [await clients.status("/call/") for _ in range(2)] == [503, 503]

    (line,) = warnings
    assert [f"/endless/{number}/" in line for number in range(3)] == [True] * 3


@staying
async def test_readiness_fails_for_as_long_as_requests_find_no_thread(stay: bool) -> None:
    async with ThreadPool(3, max_overflow=0, timeout=0.2) as pool:
        app = HealthMiddleware(
            ThreadPoolMiddleware(django(), pool=pool), checks={"threads": pool.check}
        )
        before = await get(app, "/readyz")
        async with endless_streams(app, stay=stay) as clients:
            all_taken = await get(app, "/readyz")
            await clients.status("/call/")
            await until_status(app, 503)
        after = await until_status(app, 200)

    assert (before[0], all_taken[0], after) == (200, 200, 200)


class Clients:
    """Clients that wait for no more than the start of a response."""

    def __init__(self, app: ASGIApp, stack: AsyncExitStack) -> None:
        self._app = app
        self._stack = stack

    async def open(self, target: str, given: object = str) -> Any:
        scope = {"state": {"given": given}}
        opened = stream(self._app, target=target, scope=scope, timeout=PATIENCE)
        exchange = await self._stack.enter_async_context(opened)
        exchange.send_body(b"", more_body=False)
        return exchange

    async def status(self, target: str) -> int:
        message = await (await self.open(target)).message()
        return cast("int", message["status"])


@asynccontextmanager
async def endless_streams(app: ASGIApp, *, stay: bool) -> AsyncGenerator[Clients]:
    """Take three threads, and give them back at the end."""
    streams = Endless()
    async with AsyncExitStack() as stack:
        clients = Clients(app, stack)
        try:
            for number in range(3):
                exchange = await clients.open(f"/endless/{number}/", streams)
                await until(partial(streams.has_begun, number + 1))
                if not stay:
                    exchange.disconnect()
            yield clients
        finally:
            streams.let_go.set()


async def until_status(app: ASGIApp, status: int) -> int:
    async with asyncio.timeout(PATIENCE):
        while (await get(app, "/readyz"))[0] != status:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return status


urlpatterns = [
    *runs.urlpatterns[:1],
    path("call/", call),
    path("file/", file),
    path("sync-stream/", sync_stream),
    path("async-stream/", async_stream),
    path("exports-late/", exports_late),
    path("exports-early/", exports_early),
    path("endless/<int:number>/", endless),
]
