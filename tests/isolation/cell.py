"""One cell of the table: Ann uses things, and Ben's requests come in between."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    nullcontext,
    suppress,
)
from contextvars import Context
from functools import partial
from threading import Thread
from typing import Any

from asgiref.sync import sync_to_async
from django.db.backends.signals import connection_created

from asgi_middleware import LifespanMiddleware, ThreadPool, ThreadPoolMiddleware
from asgi_middleware.testing import lifespan, request
from asgi_middleware.testing.http import Response
from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send

from .things import ANN, BEN, Thing

# What Ann sees where the connection has been closed.
CLOSED = "closed"
# In seconds. Only a failing test waits that long.
PATIENCE = 30.0

Step = Callable[[], None]
ContextFactory = Callable[[Any], AbstractAsyncContextManager[None]]
# Serves an app for a cell: plain, or in a pool.
Arm = Callable[..., AbstractAsyncContextManager[None]]


class Cell:
    """What Ann does with things, and what she sees, while Ben comes and goes before each step.

    Her steps are the *first*, those in the *middle*, and the *last*; each is a sync function.
    Unless she *sets* the things, she only looks.
    """

    def __init__(self, *kinds: type[Thing], sets: bool) -> None:
        self.sets = sets
        # By the name of the thing.
        self.seen: dict[str, list[str]] = {kind.name: [] for kind in kinds}
        self.seen_by_ben: list[str] = []
        # The app for Ann's requests, with a lifespan around it, and the app for Ben's.
        self.app: ASGIApp
        self.inner: ASGIApp
        self.ended = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.done = asyncio.Event()
        ends = sets and any(kind.end is not Thing.end for kind in kinds)
        self.first: list[Step] = [self.set, self._read] if sets else [self._read]
        self.middle: list[Step] = [self._read]
        self.last: list[Step] = [self._read, self._end] if ends else [self._read]
        self._kinds = kinds
        self._things = [kind() for kind in kinds]
        self._failed: set[Thing] = set()
        self._visits: list[Thing] = []
        self._loop = asyncio.get_running_loop()

    # --- Ann ---

    def take(self, steps: Sequence[Step]) -> None:
        """Take the steps in this thread."""
        for step in steps:
            asyncio.run_coroutine_threadsafe(self.ben(), self._loop).result(PATIENCE)
            step()

    async def atake(self, steps: Sequence[Step], call: Any = sync_to_async) -> None:
        """Take each step in the thread that *call* finds for it."""
        for step in steps:
            await self.ben()
            await call(step)()

    def set(self) -> None:
        for thing in self._things:
            thing.set(ANN)

    async def request(self, target: str, **state: object) -> Response:
        """Send Ann's request; Ben comes at each message of the response."""
        try:
            response = await get(self._visited(self.app), target, self, **state)
        finally:
            self.ended.set()
        assert response.status == 200
        return response

    def _read(self) -> None:
        for thing in self._things:
            if thing in self._failed:
                continue
            try:
                name = thing.read()
            except Exception as error:  # the database's own, and Django's
                if "closed" not in str(error):
                    raise
                self._failed.add(thing)
                name = CLOSED
            self.seen[thing.name].append(name)

    def _end(self) -> None:
        for thing in self._things:
            with suppress(Exception) if thing in self._failed else nullcontext():
                thing.end()

    # --- Ben ---

    async def ben(self) -> None:
        """Let a request of Ben's come, use the things, and end."""
        coming = get(self.inner, "/ben/", self)
        response = await asyncio.create_task(coming, context=Context())
        self.seen_by_ben.append(response.text)
        close_connections_of_ended_threads()

    async def bens(self) -> None:
        """Let Ben come twice at once, so that he has used every thread of the pool."""
        await asyncio.gather(self.ben(), self.ben())

    def visit(self) -> str:
        """Use the things as Ben, in the thread of his request."""
        things = [kind() for kind in self._kinds]
        # Keep his objects, so that what he leaves open stays open.
        self._visits += things
        return "+".join(sorted({thing.visit(BEN) for thing in things}))

    def _visited(self, app: ASGIApp) -> ASGIApp:
        async def visited(scope: Scope, receive: Receive, send: Send) -> None:
            async def send_between_visits(message: Message) -> None:
                await self.ben()
                await send(message)

            await app(scope, receive, send_between_visits)

        return visited


async def get(app: ASGIApp, target: str, cell: Cell, **state: object) -> Response:
    scope = {"state": {"cell": cell, **state}}
    return await request(app, target=target, scope=scope, timeout=2 * PATIENCE)


# --- the arms ---


@asynccontextmanager
async def plain(cell: Cell, app: ASGIApp, *contexts: ContextFactory) -> AsyncGenerator[None]:
    """Serve *app* alone, with contexts and tasks as a project would write them itself."""
    tasks = PlainTasks()

    async def with_tasks(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "state": {**scope["state"], "tasks": tasks}}, receive, send)

    cell.app, cell.inner = with_tasks, app
    async with AsyncExitStack() as stack:
        for context in contexts:
            await stack.enter_async_context(context({}))
        yield


@asynccontextmanager
async def pooled(
    cell: Cell, app: ASGIApp, *contexts: ContextFactory, size: int = 2
) -> AsyncGenerator[None]:
    """Serve *app* in a pool, in a lifespan that enters the pool and the contexts."""
    pool = ThreadPool(size=size, max_overflow=0, timeout=PATIENCE / 2)
    cell.inner = ThreadPoolMiddleware(app, pool=pool)
    started = LifespanMiddleware(cell.inner, lifespan=[pool, *contexts])
    async with lifespan(started, timeout=2 * PATIENCE) as running:
        cell.app = running
        yield


@asynccontextmanager
async def handled(cell: Cell, app: ASGIApp, *contexts: ContextFactory) -> AsyncGenerator[None]:
    """Serve *app* in a pool. Its pages come from our handler: see ``runs.page``."""
    async with pooled(cell, app, *contexts):
        yield


class PlainTasks:
    """Spawns tasks as a project would without a supervisor: in a context of their own."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[object]] = set()

    def spawn(self, function: Callable[[], Any]) -> None:
        task = asyncio.get_running_loop().create_task(function(), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


ARMS: dict[str, Arm] = {"plain": plain, "pooled": pooled}
ARMS_OF_PAGES: dict[str, Arm] = {**ARMS, "pooled, our handler": handled}
# With one place, Ben's requests are served only while Ann's request rests.
CROWDED: Arm = partial(pooled, size=1)


# --- connections that plain Django leaves to the garbage collector ---

_opened: list[tuple[Thread, Any]] = []


def _note(connection: Any, **_: object) -> None:
    _opened.append((threading.current_thread(), connection.connection))


@contextmanager
def connections_closed() -> Generator[None]:
    """Close every connection that was opened in the block."""
    connection_created.connect(_note)
    try:
        yield
    finally:
        connection_created.disconnect(_note)
        _close(_opened)
        _opened.clear()


def close_connections_of_ended_threads() -> None:
    """Close connections that nobody can use any more, before PostgreSQL has too many."""
    ended = [opened for opened in _opened if not opened[0].is_alive()]
    _close(ended)
    for opened in ended:
        _opened.remove(opened)


def _close(opened: Iterable[tuple[Thread, Any]]) -> None:
    for _, connection in opened:
        connection.close()


async def finished(event: asyncio.Event) -> None:
    async with asyncio.timeout(2 * PATIENCE):
        await event.wait()
