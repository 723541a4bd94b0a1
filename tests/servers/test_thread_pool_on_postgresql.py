"""Persistent connections to a real PostgreSQL: as many as threads, each one request's at a time."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from .postgresql import PostgreSQL
from .server import PATIENCE, Server, command, serve

pytestmark = pytest.mark.process

CLIENTS = 32
REQUESTS, FEW = 2_000, 200
THREADS = 8
# By which PostgreSQL tells the app's connections from others.
NAME = "tested app"
WRITTEN = "SELECT token FROM visits"
CONNECTED = f"SELECT pid FROM pg_stat_activity WHERE application_name = '{NAME}'"


@pytest.fixture(autouse=True)
def _no_visits(postgresql: PostgreSQL) -> None:
    with postgresql.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS visits")
        connection.execute(
            "CREATE TABLE visits (token text, written_by xid8 DEFAULT pg_current_xact_id())"
        )


@contextmanager
def served(postgresql: PostgreSQL, folder: Path, *, threads: int | None) -> Generator[Server]:
    """Serve the app with so many threads; None for Django alone."""
    environment = {**postgresql.environment, "PGAPPNAME": NAME, "THREADS": str(threads or "")}
    run = command("uvicorn", "tests.servers.apps.postgresql:application", "--no-access-log")
    with serve(run, log=folder / "log", environment=environment) as server:
        yield server


Answers = dict[str, httpx.Response]


async def visits(server: Server, phase: str, number: int) -> Answers:
    """Let all clients together make that number of visits, each with a token of its own."""
    answers: Answers = {}
    tokens = (f"{phase}-{index}" for index in range(number))
    paths = itertools.cycle(["visit", "visit-in-steps"])

    async def client() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as http:
            for token in tokens:
                answers[token] = await http.get(f"/{next(paths)}/{token}")

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
    return answers


def statuses(answers: Answers) -> dict[int, int]:
    return Counter(answer.status_code for answer in answers.values())


def right(answers: Answers) -> Answers:
    return {token: answer for token, answer in answers.items() if answer.status_code == 200}


def from_others(answers: Answers) -> dict[str, Any]:
    """Return what was answered from a transaction that is not the request's alone."""
    return {
        token: seen
        for token, answer in right(answers).items()
        if (seen := answer.json()["tokens"]) != [token]
    }


def used(answers: Answers) -> set[int]:
    """Return the connections that the answers came from."""
    return {answer.json()["connection"] for answer in right(answers).values()}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_as_many_connections_as_threads_serve_every_request(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    with (
        postgresql.connect() as connection,
        served(postgresql, tmp_path, threads=THREADS) as server,
    ):

        def connected() -> set[int]:
            return {pid for (pid,) in connection.execute(CONNECTED)}

        visiting = asyncio.create_task(visits(server, "visit", REQUESTS))
        seen = set[int]()
        most = 0
        while not visiting.done():
            now = await asyncio.to_thread(connected)
            most = max(most, len(now))
            seen |= now
        answers = await visiting

        assert statuses(answers) == {200: REQUESTS}
        assert from_others(answers) == {}
        # They are kept for the next request, and never were there any others.
        assert most == len(seen) == THREADS
        assert used(answers) == seen == connected()
        server.stop()
        assert server.log_lines("connections at the end") == ["connections at the end: 0"]


async def test_without_a_pool_the_same_load_is_too_much(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    with postgresql.connect() as connection:
        with served(postgresql, tmp_path, threads=None) as server:
            answers = await visits(server, "visit", REQUESTS)
        # PostgreSQL hears a moment later that they have ended, and has no room until then.
        until(lambda: not connection.execute(CONNECTED).fetchall())

    failed = [answer.text for answer in answers.values() if answer.status_code == 500]
    assert [text for text in failed if "too many clients already" in text] != []
    assert from_others(answers) == {}


@pytest.mark.parametrize(
    ("path", "status", "answer"),
    [
        pytest.param("fail", 500, "ValueError: after a write", id="view raises"),
        pytest.param("fail-in-database", 500, "DataError: division by zero", id="query fails"),
        pytest.param("forget", 200, '{"tokens": ["lost"], ', id="transaction left open"),
    ],
)
def test_a_transaction_that_fails_leaves_nothing_to_the_next_request(
    path: str, status: int, answer: str, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    with served(postgresql, tmp_path, threads=1) as server:
        first = httpx.get(f"{server.url}/{path}/lost", timeout=PATIENCE)
        second = httpx.get(f"{server.url}/visit/kept", timeout=PATIENCE)

    assert (first.status_code, first.text[: len(answer)]) == (status, answer)
    assert second.json()["tokens"] == ["kept"]
    with postgresql.connect() as connection:
        assert connection.execute(WRITTEN).fetchall() == [("kept",)]


async def test_a_restart_of_the_database_between_requests_costs_nothing(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    with served(postgresql, tmp_path, threads=THREADS) as server:
        before = await visits(server, "before", FEW)
        await asyncio.to_thread(postgresql.restart)
        after = await visits(server, "after", FEW)

    assert statuses(before) == statuses(after) == {200: FEW}
    assert used(before).isdisjoint(used(after))


async def test_a_restart_under_load_costs_errors_and_never_a_wrong_answer(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    with served(postgresql, tmp_path, threads=THREADS) as server:
        visiting = asyncio.create_task(visits(server, "during", REQUESTS))
        with postgresql.connect() as connection:
            under_way = f"{WRITTEN} WHERE token = 'during-100'"
            await asyncio.to_thread(until, lambda: bool(connection.execute(under_way).fetchall()))
        await asyncio.to_thread(postgresql.restart)
        during = await visiting
        after = await visits(server, "after", FEW)

    assert statuses(during).keys() == {200, 500}
    assert statuses(after) == {200: FEW}
    answered = right(during) | after
    assert from_others(answered) == {}
    # What was answered is written, and once.
    with postgresql.connect() as connection:
        written = Counter(token for (token,) in connection.execute(WRITTEN))
    assert [token for token in answered if written[token] != 1] == []
