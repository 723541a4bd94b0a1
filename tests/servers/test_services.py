"""The example project with Redis and PostgreSQL, which stop and start while it serves."""

import asyncio
import re
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path

import httpx
import pytest

from example_project.inspector.scenarios.player import watched

from .example import UVICORN
from .postgresql import PostgreSQL
from .redis import Redis, redis
from .server import PATIENCE, UVICORN_WORKERS, Server, command, manage, serve

pytestmark = pytest.mark.process

GUNICORN = (
    *(sys.executable, "-m", "gunicorn", "example_project.asgi:application", "--workers", "2"),
    *("--worker-class", "uvicorn_worker.UvicornWorker", "--bind", "127.0.0.1:{port}"),
)
TWO_WORKERS = {
    "uvicorn": command("uvicorn", "example_project.asgi:application", *UVICORN_WORKERS),
    "hypercorn": command("hypercorn", "example_project.asgi:application", "--workers", "2"),
    "granian": command("granian", "example_project.asgi:application", "--workers", "2"),
    "gunicorn": GUNICORN,
}
SEVERAL = "several workers serve"


@pytest.fixture(scope="module")
def running_redis() -> Iterator[Redis]:
    with redis() as running:
        yield running


# --- Redis ---


@pytest.mark.parametrize("name", TWO_WORKERS)
def test_workers_without_redis_warn_that_they_cannot_reach_each_other(
    name: str, environment: dict[str, str], tmp_path: Path
) -> None:
    with serve(TWO_WORKERS[name], log=tmp_path / "log", environment=environment) as server:
        assert server.log_lines(SEVERAL)


def test_workers_with_redis_do_not_warn(
    environment: dict[str, str], running_redis: Redis, tmp_path: Path
) -> None:
    changes = {**environment, **running_redis.environment}
    with serve(TWO_WORKERS["uvicorn"], log=tmp_path / "log", environment=changes) as server:
        server.log_lines("open: serving since", at_least=2)
        assert SEVERAL not in server.log()


async def test_the_page_of_one_server_shows_what_another_serves(
    environment: dict[str, str], running_redis: Redis, tmp_path: Path
) -> None:
    changes = {**environment, **running_redis.environment}
    with ExitStack() as servers:
        one, other = (
            servers.enter_context(serve(UVICORN, log=tmp_path / name, environment=changes))
            for name in ("one", "other")
        )
        async with watched(one.url) as site:
            hello = await site.shown(type="hello")
            await _status(other, request_id="from-the-other")
            event = await site.shown(kind="request", id="from-the-other")

    assert event["process"] != hello["process"]


async def test_while_redis_is_stopped_requests_are_served_and_afterwards_the_live_view_is_back(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with redis() as own:
        changes = {**environment, **own.environment}
        with serve(UVICORN, log=tmp_path / "log", environment=changes) as server:
            async with AsyncExitStack() as watching:
                await watching.enter_async_context(watched(server.url))
                own.stop()
                server.log_lines("the live view is interrupted")
                assert [await _status(server) for _ in range(20)] == [200] * 20
                server.log_lines("a live view ended")

            own.start()
            async with watched(server.url) as site:
                await site.shown(type="counters")
                await _status(server, request_id="afterwards")
                await site.shown(kind="request", id="afterwards")

            # Logged once for each time that Redis stops, not five times a second.
            assert server.log().count("the live view is interrupted") == 1
            assert "Traceback" not in server.log()


async def _status(server: Server, request_id: str = "meanwhile") -> int:
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        headers = {"x-request-id": request_id}
        return (await client.get(f"{server.url}/status/", headers=headers)).status_code


# --- PostgreSQL ---


@pytest.fixture(scope="module")
def with_postgresql(postgresql: PostgreSQL, environment: dict[str, str]) -> dict[str, str]:
    url = f"postgresql://postgres@/postgres?host={postgresql.folder}"
    changes = {**environment, "DATABASE_URL": url}
    manage(changes, "migrate")
    return changes


async def test_after_a_restart_of_postgresql_the_example_needs_no_restart(
    with_postgresql: dict[str, str], postgresql: PostgreSQL, tmp_path: Path
) -> None:
    with serve(UVICORN, log=tmp_path / "log", environment=with_postgresql) as server:
        async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client:
            await client.get("/")
            token = {"x-csrftoken": client.cookies["csrftoken"]}
            await client.post("/notes/", data={"text": "kept"}, headers=token)

            async def asked(times: int) -> list[tuple[int, str]]:
                responses = [await client.get("/notes/") for _ in range(times)]
                return [(each.status_code, _text(each)) for each in responses]

            meanwhile = asyncio.create_task(asked(200))
            await asyncio.to_thread(postgresql.restart)
            during, after = await meanwhile, await asked(20)
            ready = await client.get("/readyz")

    # While the database is away, a response is an error, but never a wrong list of notes.
    assert set(during) <= {(200, "kept"), (500, "")}
    assert after == [(200, "kept")] * 20
    assert ready.status_code == 200


def _text(response: httpx.Response) -> str:
    """Return the texts of the notes in the response, joined."""
    return ", ".join(re.findall(r'<li data-id="\d+">(.*?) <time', response.text))
