"""Django and Channels that report what they find on their thread and its database connection.

Each request, WebSocket and task has an owner. It sets the owner as ``local.user``, where ``local``
is a ``threading.local``, and as ``connection.tenant``. Later it reads both, the tenant during a
query. The client receives the values. The app checks them as well, because a client that leaves
early never receives them.

Environment variables:

* ``SQLITE_PATH``: the database, which this module creates.
* ``POOLED``: 1 lends the threads of a pool. Without it, the app is Django and Channels alone.
* ``AUDITED``: 1 connects receivers to the signals for the start and the end of requests.
"""

# ruff: noqa: E402 -- models and consumers can be imported only once Django is set up.

import asyncio
import gc
import itertools
import json
import os
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

import django
from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings

DATABASE = os.environ["SQLITE_PATH"]

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": DATABASE}},
    LOGGING={
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"console": {"format": "%(levelname)s %(name)s %(message)s"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "console"}},
        "root": {"handlers": ["console"], "level": "WARNING"},
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    USE_TZ=True,
)
django.setup()

from channels.db import database_sync_to_async  # type: ignore[import-untyped]
from channels.generic.websocket import (  # type: ignore[import-untyped]
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)
from channels.routing import ProtocolTypeRouter, URLRouter  # type: ignore[import-untyped]
from django.core.asgi import get_asgi_application
from django.core.signals import request_finished, request_started
from django.db import connection, models, transaction
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import include, path
from django.utils.deprecation import MiddlewareMixin

from asgi_middleware import LifespanMiddleware, ThreadPool, ThreadPoolMiddleware, compose
from asgi_middleware.types import ASGIApp, Receive, Scope, Send

SIZE, MAX_OVERFLOW = 8, 8
# Seconds.
PATIENCE = 30.0
ROWS = 12


class Row(models.Model):
    class Meta:
        app_label = "isolation"
        db_table = "rows"


with closing(sqlite3.connect(DATABASE)) as database, database:
    database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY)")
    database.executemany("INSERT INTO rows VALUES (?)", [(n,) for n in range(1, ROWS + 1)])


# --- what is found, and whether it is right ---

Found = dict[str, str | None]

local = threading.local()


def choose(owner: str) -> None:
    local.user = owner
    cast("Any", connection).tenant = owner


def query() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def found(query: Callable[[], object] = query) -> Found:
    """Return the user of this thread, and the tenant of its connection during a query."""
    tenants: list[str | None] = []

    def note(execute: Any, sql: Any, parameters: Any, many: Any, context: Any) -> Any:
        tenants.append(getattr(context["connection"], "tenant", None))
        return execute(sql, parameters, many, context)

    with connection.execute_wrapper(note):
        query()
    return {"user": getattr(local, "user", None), "tenant": tenants[0]}


def found_on(owner: str | None) -> Found:
    return {"user": owner, "tenant": owner}


class Tally:
    """Counts comparisons of each kind, and those that failed, with examples."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.checks = Counter[str]()
        self.mixed_up = Counter[str]()
        self.examples: list[str] = []

    def compare(self, kind: str, seen: Mapping[str, object], right: Mapping[str, object]) -> None:
        self.note(kind, len(right), seen == right, f"{seen} instead of {right}")

    def note(self, kind: str, checks: int, right: bool, otherwise: str) -> None:
        with self._lock:
            self.checks[kind] += checks
            if right:
                return
            self.mixed_up[kind] += 1
            if self.mixed_up[kind] <= 3:
                self.examples.append(f"{kind}: {otherwise}")


tally = Tally()


def line(seen: Found) -> bytes:
    return json.dumps(seen).encode() + b"\n"


# --- gates, where a test holds a request or a task ---


class Gate:
    def __init__(self) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self.opened.wait(PATIENCE), "the gate was not opened"

    async def wait_async(self) -> None:
        self.reached.set()
        await until(self.opened.is_set)


gates: dict[str, Gate] = {}


def gate(name: str) -> Gate:
    # This must be atomic, because threads and the event loop share the gates.
    return gates.setdefault(name, Gate())


async def until(condition: Callable[[], bool]) -> None:
    """Wait on the event loop, without a thread."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 -- other threads make it true
            await asyncio.sleep(0.002)


def gates_of(request: HttpRequest) -> Generator[Gate | None]:
    """Yield a gate for each step of the request, or None if the client names no gate."""
    for step in range(int(request.GET.get("steps", "3"))):
        name = request.GET.get("gate")
        yield gate(f"{name}-{step}") if name else None


# --- pages, which read at each of their steps ---


def read(request: HttpRequest, query: Callable[[], object] = query) -> bytes:
    seen, owner = found(query), request.GET.get("owner")
    if owner is not None:
        tally.compare("request", seen, found_on(owner))
    else:
        # As under WSGI, it may find a user that an earlier request left in the threading.local.
        right = _set_by("request", seen["user"]) and seen["tenant"] is None
        tally.note("request without an owner", 2, right, str(seen))
    return line(seen)


def _set_by(kind: str, owner: str | None) -> bool:
    """Return whether *owner* is None, or of this kind."""
    return owner is None or owner.startswith(f"{kind}-")


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(_lines(request))


def _lines(request: HttpRequest) -> Generator[bytes]:
    for held_at in gates_of(request):
        if held_at:
            held_at.wait()
        yield read(request)
    yield async_to_sync(sync_to_async(read))(request, Row.objects.count)


async def async_page(request: HttpRequest) -> HttpResponse:
    body = b""
    for held_at in gates_of(request):
        await _pause(held_at)
        body += await sync_to_async(read)(request)
    twice = [sync_to_async(read)(request, Row.objects.count) for _ in range(2)]
    first: bytes = (await asyncio.gather(*twice))[0]
    await transaction_in_steps("request")
    return HttpResponse(body + first)


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def lines() -> AsyncGenerator[bytes]:
        yield b"\n"
        for held_at in gates_of(request):
            await _pause(held_at)
            yield await sync_to_async(read)(request)
        await rows_in_slices("request")
        yield await sync_to_async(read)(request, Row.objects.count)
        await transaction_in_steps("request")

    return StreamingHttpResponse(lines())


async def sync_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(_lines(request))


def file(request: HttpRequest) -> FileResponse:
    return FileResponse(cast("Any", Lines(request)), content_type="text/plain")


class Lines:
    """A file that returns a line at each read. It also looks at its thread when it is closed."""

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._lines = _lines(request)

    def read(self, size: int) -> bytes:
        return next(self._lines, b"")

    def close(self) -> None:
        read(self._request)


async def _pause(held_at: Gate | None) -> None:
    await (held_at.wait_async() if held_at else asyncio.sleep(0.001))


async def rows_in_slices(kind: str) -> None:
    """Read a table with a cursor that stays open from one sync call to the next."""
    seen = [row.pk async for row in Row.objects.aiterator(chunk_size=5)]
    tally.compare(f"rows of a {kind}", {"rows": seen}, {"rows": [*range(1, ROWS + 1)]})


async def transaction_in_steps(kind: str) -> None:
    """Begin and end a transaction in separate calls. A cancelled request leaves it open."""
    block = transaction.atomic()
    seen = [await sync_to_async(_in_transaction)()]
    await sync_to_async(block.__enter__)()
    await asyncio.sleep(0)
    seen.append(await sync_to_async(_in_transaction)())
    await sync_to_async(block.__exit__)(None, None, None)
    seen.append(await sync_to_async(_in_transaction)())
    right = {"before": False, "within": True, "after": False}
    tally.compare(f"transaction of a {kind}", dict(zip(right, seen, strict=True)), right)


def _in_transaction() -> bool:
    return connection.in_atomic_block


# --- a task that outlives its request ---

tasks = set[asyncio.Task[list[Found]]]()
# What each task found. The task itself would keep its context, and with that a thread.
outcomes: dict[str, asyncio.Future[list[Found]]] = {}


async def task(request: HttpRequest) -> HttpResponse:
    """Start a task. If the request's owner is "ann", the task's owner is "task-ann"."""
    name = f"task-{request.GET['owner']}"
    outcomes[name] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(outlive(request, name))
    tasks.add(running)
    running.add_done_callback(partial(note_outcome, outcomes[name]))
    return HttpResponse(await sync_to_async(read)(request))


async def outlive(request: HttpRequest, name: str) -> list[Found]:
    await cast("Any", request).scope["ended"].wait()
    seen = [await sync_to_async(found)()]
    tally.compare("task at its start", seen[0], found_on(None))
    await sync_to_async(choose)(name)
    for held_at in gates_of(request):
        await _pause(held_at)
        seen.append(await sync_to_async(found)())
        tally.compare("task", seen[-1], found_on(name))
    await rows_in_slices("task")
    await transaction_in_steps("task")
    return seen


def note_outcome(
    outcome: "asyncio.Future[list[Found]]", running: "asyncio.Task[list[Found]]"
) -> None:
    tasks.discard(running)
    if error := running.exception():
        tally.note("task", 0, False, repr(error))
        outcome.set_exception(error)
    else:
        outcome.set_result(running.result())


pages = [
    path("page/", page),
    path("async-page/", async_page),
    path("stream/", stream),
    path("sync-stream/", sync_stream),
    path("file/", file),
    path("task/", task),
]
# Each page has two paths, with a different kind of middleware for each.
urlpatterns = [*pages, path("wrapped/", include(pages))]


# --- sync middleware, and receivers of signals ---


def choose_owner(request: HttpRequest) -> None:
    """Check that nothing is left on the connection; set the owner that the query string names."""
    seen = {
        "tenant": getattr(connection, "tenant", None),
        "in a transaction": connection.in_atomic_block,
    }
    tally.compare("request at its start", seen, {"tenant": None, "in a transaction": False})
    if owner := request.GET.get("owner"):
        choose(owner)


class HookMiddleware(MiddlewareMixin):
    """Sync code that Django calls in a thread, before an async view."""

    def process_request(self, request: HttpRequest) -> None:
        choose_owner(request)


class WrappingMiddleware:
    """Sync code that calls the view, and waits in its thread until an async view returns."""

    sync_capable = True
    async_capable = False

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        choose_owner(request)
        return self.get_response(request)


def begin_audit(scope: Scope, **_: object) -> None:
    local.audit = dict(parse_qsl(scope["query_string"].decode())).get("owner")
    local.user = None


def end_audit(**_: object) -> None:
    """Check that the thread still has the request's owner, or none if no middleware was called."""
    owner = local.__dict__.pop("audit", "nobody: its start was on another thread")
    seen = (getattr(local, "user", None), getattr(connection, "tenant", None))
    right = seen in ((owner, owner), (None, None))
    tally.note("end of a request", 2, right, f"{seen} instead of {owner!r}")


if os.environ.get("AUDITED") == "1":
    request_started.connect(begin_audit)
    request_finished.connect(end_audit)


# --- consumers, which set nothing if they have no owner ---


def owner_of(scope: Scope) -> str | None:
    return dict(parse_qsl(scope["query_string"].decode())).get("owner")


def within(owner: str | None) -> Found:
    """Look, set the owner and look again, in one call because others may share the thread."""
    before = found()
    right = all(_set_by("socket", each) for each in before.values())
    tally.note("socket at its start", 2, right, str(before))
    if owner is None:
        return before
    choose(owner)
    after = found()
    tally.compare("socket", after, found_on(owner))
    return after


COMMANDS: dict[str, Callable[[str | None], Found]] = {
    "found": lambda _owner: found(),
    "within": within,
}


class AsyncReader(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        self.owner = owner_of(self.scope)
        if self.owner is not None:
            await database_sync_to_async(choose)(self.owner)
        await self.accept()

    async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        seen = await database_sync_to_async(COMMANDS[text_data])(self.owner)
        await self.send(text_data=json.dumps(seen))


class SyncReader(WebsocketConsumer):  # type: ignore[misc]
    def connect(self) -> None:
        self.owner = owner_of(self.scope)
        if self.owner is not None:
            choose(self.owner)
        self.accept()

    def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        self.send(text_data=json.dumps(COMMANDS[text_data](self.owner)))


# --- pages beside Django, which need no thread ---


async def statistics(_query: dict[str, str]) -> object:
    gc.collect()  # plain Django leaves its connections to the garbage collector
    return {
        "requests": len(requests),
        "tasks": len(tasks),
        "threads": threading.active_count(),
        "connections": open_connections(),
        "pool": pool.statistics()._asdict() if pool else None,
        "pool size": SIZE if pool else 0,
        "checks": tally.checks,
        "mixed up": tally.mixed_up,
        "examples": tally.examples,
    }


def open_connections() -> int:
    count = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # closed meanwhile
            count += descriptor.readlink() == Path(DATABASE)
    return count


async def reached(query: dict[str, str]) -> object:
    """Respond once a request or a task waits at the gate."""
    await until(gate(query["gate"]).reached.is_set)
    return None


async def opened(query: dict[str, str]) -> object:
    gate(query["gate"]).opened.set()
    return None


async def outcome(query: dict[str, str]) -> object:
    """Respond with what a task found, once it has ended."""
    async with asyncio.timeout(PATIENCE):
        return await outcomes.pop(query["task"])


BESIDE: dict[str, Callable[[dict[str, str]], Awaitable[object]]] = {
    "/statistics/": statistics,
    "/reached/": reached,
    "/open/": opened,
    "/outcome/": outcome,
}

numbers = itertools.count()
# The requests and WebSockets in flight.
requests = set[int]()


async def serve_noting_the_end(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve a request, and let its tasks know when it has ended."""
    ended, number = asyncio.Event(), next(numbers)
    requests.add(number)
    try:
        await threaded({**scope, "ended": ended}, receive, send)
    finally:
        requests.discard(number)
        ended.set()


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await threaded(scope, receive, send)
    elif scope["path"] in BESIDE:
        query = dict(parse_qsl(scope["query_string"].decode()))
        body = json.dumps(await BESIDE[scope["path"]](query)).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
    else:
        await serve_noting_the_end(scope, receive, send)


def django_with(middleware: Iterable[type]) -> Any:
    settings.MIDDLEWARE = [f"{__name__}.{each.__name__}" for each in middleware]
    return get_asgi_application()


with_hook, with_wrapping = django_with([HookMiddleware]), django_with([WrappingMiddleware])


async def http(scope: Scope, receive: Receive, send: Send) -> None:
    wrapped = scope["path"].startswith("/wrapped/")
    await (with_wrapping if wrapped else with_hook)(scope, receive, send)


pool: ThreadPool | None = None
threaded: ASGIApp = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": URLRouter(
            [
                path("async-socket/", cast("Any", AsyncReader).as_asgi()),
                path("sync-socket/", cast("Any", SyncReader).as_asgi()),
            ]
        ),
    }
)
if os.environ.get("POOLED") == "1":
    pool = ThreadPool(size=SIZE, max_overflow=MAX_OVERFLOW)
    threaded = compose(
        partial(LifespanMiddleware, lifespan=[pool]),
        partial(ThreadPoolMiddleware, pool=pool),
    )(threaded)
