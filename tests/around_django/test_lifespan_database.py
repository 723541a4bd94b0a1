"""Startup contexts, background tasks and health checks use the database as requests do."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import (
    ProgrammingError,
    close_old_connections,
    connection,
    connections,
    transaction,
)

from asgi_middleware import HealthMiddleware, LifespanMiddleware, TaskSupervisor, _threads
from asgi_middleware._django import transactions_kept
from asgi_middleware.lifespan import State
from asgi_middleware.testing import lifespan, request
from tests.apps import hello
from tests.thread_pool.calls import PATIENCE, until


@pytest.fixture(autouse=True)
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An SQLite file, with persistent connections."""
    settings: dict[str, Any] = connections.settings["default"]
    monkeypatch.setitem(settings, "NAME", str(tmp_path / "db.sqlite3"))
    monkeypatch.setitem(settings, "CONN_MAX_AGE", None)
    # On a slow machine, a thread may need longer to close its connections.
    monkeypatch.setattr(_threads, "_CLOSING_PATIENCE", PATIENCE)
    yield
    connections.close_all()


class Visits:
    """Makes queries, and keeps the thread and the connection of each."""

    def __init__(self) -> None:
        self.threads: list[Thread] = []
        self.wrappers: list[Any] = []

    def query(self) -> None:
        self.threads.append(threading.current_thread())
        self.wrappers.append(connections["default"])
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")

    async def __call__(self) -> None:
        await sync_to_async(self.query)()

    @property
    def are_closed(self) -> bool:
        return all(wrapper.connection is None for wrapper in self.wrappers)


def lose_connection() -> None:
    """Break this thread's connection, as a restart of the database does."""
    connections["default"].connection.close()


def is_usable(connection: Any) -> bool:
    try:
        connection.connection.execute("SELECT 1")
    except Exception:  # noqa: BLE001 -- any of the driver's
        return False
    return True


async def test_a_task_recovers_from_a_database_outage() -> None:
    visits = Visits()
    crashes: list[Exception] = []
    works = asyncio.Event()

    async def job() -> None:
        await visits()
        if not crashes:
            await sync_to_async(lose_connection)()
        try:
            await visits()
        except ProgrammingError as error:
            crashes.append(error)
            raise
        works.set()

    def spawning(tasks: TaskSupervisor) -> None:
        tasks.spawn(job, backoff=(0.001, 0.001))

    app = LifespanMiddleware(hello, lifespan=[starting(spawning)])
    async with lifespan(app):
        await works.wait()

    assert len(crashes) == 1
    assert len(set(visits.threads)) == 2
    await until(lambda: visits.are_closed)


async def test_each_attempt_of_a_task_closes_its_connections_before_the_next() -> None:
    visits = Visits()
    closed: list[bool] = []
    enough = asyncio.Event()

    async def job() -> None:
        closed.append(visits.are_closed)
        await visits()
        await visits()
        if len(closed) == 3:
            enough.set()
            await asyncio.Event().wait()

    def spawning(tasks: TaskSupervisor) -> None:
        tasks.spawn(job, restart="always", backoff=(0.001, 0.001))

    app = LifespanMiddleware(hello, lifespan=[starting(spawning)])
    async with lifespan(app):
        await enough.wait()

    assert closed == [True, True, True]
    assert len(set(visits.threads)) == 3
    assert visits.are_closed


async def test_two_tasks_share_neither_thread_nor_connection() -> None:
    visits = [Visits(), Visits()]
    together = asyncio.Barrier(2)

    def spawning(tasks: TaskSupervisor) -> None:
        for visit in visits:
            tasks.spawn(visiting_twice(visit), restart="never")

    def visiting_twice(visit: Visits) -> Any:
        async def job() -> None:
            await visit()
            await together.wait()
            await visit()

        return job

    app = LifespanMiddleware(hello, lifespan=[starting(spawning)])
    async with lifespan(app):
        await until(lambda: all(len(visit.threads) == 2 for visit in visits))

    assert [len(set(visit.threads)) for visit in visits] == [1, 1]
    assert visits[0].threads[0] is not visits[1].threads[0]


async def test_a_context_closes_its_connection_when_it_ends() -> None:
    visits = Visits()

    @asynccontextmanager
    async def querying(state: State) -> AsyncGenerator[None]:
        await visits()
        yield
        await visits()

    async with lifespan(LifespanMiddleware(hello, lifespan=[querying])):
        assert not visits.are_closed

    assert visits.are_closed
    assert len(set(visits.threads)) == 1


async def test_a_context_can_query_at_its_end_after_a_database_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The method of the SQLite backend always returns True.
    monkeypatch.setattr(type(connections["default"]), "is_usable", is_usable)
    visits = Visits()

    @asynccontextmanager
    async def querying(state: State) -> AsyncGenerator[None]:
        await visits()
        await sync_to_async(lose_connection)()
        yield
        await visits()

    async with lifespan(LifespanMiddleware(hello, lifespan=[querying])):
        pass

    assert len(visits.threads) == 2
    assert visits.are_closed


async def test_a_context_finds_at_its_end_what_it_left_on_its_connection() -> None:
    seen: list[object] = []

    def leave() -> None:
        connections["default"].ensure_connection()
        connections["default"].tenant = "ann"  # type: ignore[attr-defined]

    @asynccontextmanager
    async def leaving(state: State) -> AsyncGenerator[None]:
        await sync_to_async(leave)()
        yield
        seen.append(await sync_to_async(lambda: getattr(connection, "tenant", None))())

    async with lifespan(LifespanMiddleware(hello, lifespan=[leaving])):
        pass

    assert seen == ["ann"]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_health_check_passes_again_after_a_database_outage(is_async: bool) -> None:
    visits = Visits()

    def check() -> None:
        visits.query()
        if len(visits.threads) == 1:
            lose_connection()
            visits.query()

    app = HealthMiddleware(
        hello,
        checks={"database": sync_to_async(check) if is_async else check},
        cache=0,
        timeout=PATIENCE,
    )
    statuses = [(await request(app, target="/readyz")).status for _ in range(3)]

    assert statuses == [503, 200, 200]
    await until(lambda: visits.are_closed)


def starting(spawning: Any) -> Any:
    @asynccontextmanager
    async def tasks(state: State) -> AsyncGenerator[None]:
        spawning(state["tasks"])
        yield

    return tasks


def test_a_transaction_is_kept_for_as_long_as_any_request_needs_it() -> None:
    async def at_once() -> bool:
        first, second = transactions_kept(), transactions_kept()
        await first.__aenter__()
        await second.__aenter__()
        await first.__aexit__(None, None, None)
        await sync_to_async(close_old_connections)()
        is_open = connections["default"].connection is not None
        await second.__aexit__(None, None, None)
        return await sync_to_async(lambda: is_open or bool(connections["default"].connection))()

    with transaction.atomic():
        assert async_to_sync(at_once)()
        assert not connections["default"].closed_in_transaction
        assert "close_if_unusable_or_obsolete" not in vars(connections["default"])
