"""Persistent connections to a real PostgreSQL: one for each thread, and one request at a time."""

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
REQUESTS, FEW = 500, 100
THREADS = 8
# PostgreSQL lists the app's connections under this name.
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
    """Serve the app with that number of threads, or Django alone if it is None."""
    environment = {**postgresql.environment, "PGAPPNAME": NAME, "THREADS": str(threads or "")}
    run = command("uvicorn", "tests.servers.apps.postgresql:application", "--no-access-log")
    with serve(run, log=folder / "log", environment=environment) as server:
        yield server


Responses = dict[str, httpx.Response]


async def visits(server: Server, phase: str, number: int) -> Responses:
    """Make that *number* of visits from all clients together, each with its own token."""
    responses: Responses = {}
    tokens = (f"{phase}-{index}" for index in range(number))
    paths = itertools.cycle(["visit", "visit-in-steps"])

    async def client() -> None:
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as http:
            for token in tokens:
                responses[token] = await http.get(f"/{next(paths)}/{token}")

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
    return responses


def statuses(responses: Responses) -> dict[int, int]:
    return Counter(response.status_code for response in responses.values())


def successful(responses: Responses) -> Responses:
    return {token: response for token, response in responses.items() if response.status_code == 200}


def from_others(responses: Responses) -> dict[str, Any]:
    """Return the tokens that a request saw although another request had written them."""
    return {
        token: seen
        for token, response in successful(responses).items()
        if (seen := response.json()["tokens"]) != [token]
    }


def used(responses: Responses) -> set[int]:
    """Return the database connections that the responses came from."""
    return {response.json()["connection"] for response in successful(responses).values()}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_one_connection_for_each_thread_serves_every_request(
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
        over = False
        while not over:
            over = visiting.done()  # look once more after the end
            now = await asyncio.to_thread(connected)
            most = max(most, len(now))
            seen |= now
        responses = await visiting

        assert statuses(responses) == {200: REQUESTS}
        assert from_others(responses) == {}
        # The connections are kept for later requests, and no others were ever opened.
        assert most == len(seen) == THREADS
        assert used(responses) == seen == connected()
        server.stop()
        assert server.log_lines("connections at the end") == ["connections at the end: 0"]


async def test_without_a_pool_the_same_load_is_too_much_for_postgresql(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    with postgresql.connect() as connection:
        with served(postgresql, tmp_path, threads=None) as server:
            responses = await visits(server, "visit", REQUESTS)
        # PostgreSQL is full until it notices, a moment later, that the connections are closed.
        until(lambda: not connection.execute(CONNECTED).fetchall())

    failed = [response.text for response in responses.values() if response.status_code == 500]
    assert [text for text in failed if "too many clients already" in text] != []
    assert from_others(responses) == {}


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        pytest.param("fail", 500, "ValueError: after a write", id="view raises"),
        pytest.param("fail-in-database", 500, "DataError: division by zero", id="query fails"),
        pytest.param("forget", 200, '{"tokens": ["lost"], ', id="transaction left open"),
    ],
)
def test_a_transaction_that_fails_leaves_nothing_for_the_next_request(
    path: str, status: int, text: str, postgresql: PostgreSQL, tmp_path: Path
) -> None:
    with served(postgresql, tmp_path, threads=1) as server:
        first = httpx.get(f"{server.url}/{path}/lost", timeout=PATIENCE)
        second = httpx.get(f"{server.url}/visit/kept", timeout=PATIENCE)

    assert (first.status_code, first.text[: len(text)]) == (status, text)
    assert second.json()["tokens"] == ["kept"]
    with postgresql.connect() as connection:
        assert connection.execute(WRITTEN).fetchall() == [("kept",)]


async def test_a_restart_of_the_database_between_requests_causes_no_errors(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    with served(postgresql, tmp_path, threads=THREADS) as server:
        before = await visits(server, "before", FEW)
        await asyncio.to_thread(postgresql.restart)
        after = await visits(server, "after", FEW)

    assert statuses(before) == statuses(after) == {200: FEW}
    assert used(before).isdisjoint(used(after))


async def test_a_restart_of_the_database_under_load_causes_errors_but_no_wrong_responses(
    postgresql: PostgreSQL, tmp_path: Path
) -> None:
    with served(postgresql, tmp_path, threads=THREADS) as server:
        visiting = asyncio.create_task(visits(server, "during", REQUESTS))
        with postgresql.connect() as connection:
            under_way = f"{WRITTEN} WHERE token = 'during-50'"
            await asyncio.to_thread(until, lambda: bool(connection.execute(under_way).fetchall()))
        await asyncio.to_thread(postgresql.restart)
        during = await visiting
        after = await visits(server, "after", FEW)

    assert statuses(during).keys() == {200, 500}
    assert statuses(after) == {200: FEW}
    succeeded = successful(during) | after
    assert from_others(succeeded) == {}
    # Every visit that succeeded was written, exactly once.
    with postgresql.connect() as connection:
        written = Counter(token for (token,) in connection.execute(WRITTEN))
    assert [token for token in succeeded if written[token] != 1] == []
