"""Requests, WebSockets and tasks find on their thread only what they left there themselves.

The same holds for the database connection of the thread. Each test runs twice with the same
expected values: on plain Django and Channels, and on a pool.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.isolation_load import found, served

from .server import PATIENCE, Server

pytestmark = pytest.mark.process

Found = dict[str, str | None]

ANN: Found = {"user": "ann", "tenant": "ann"}
BEN: Found = {"user": "ben", "tenant": "ben"}
NOTHING: Found = {"user": None, "tenant": None}
# What the task finds that ann's request has started. CYS_TASK is the same for cy.
ANNS_TASK: Found = {"user": "task-ann", "tenant": "task-ann"}
CYS_TASK: Found = {"user": "task-cy", "tenant": "task-cy"}


# A gate that was opened stays open, so each gate needs a new name.
numbers = itertools.count()


@pytest.fixture(scope="module", params=["plain", "pooled"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("isolation")
    with served(folder, pooled=request.param == "pooled") as server:
        yield server


@pytest.fixture(params=["plain", "pooled"])
def new_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server that no WebSocket has used yet: plain Channels has one thread for all of them."""
    with served(tmp_path, pooled=request.param == "pooled") as server:
        yield server


class Site:
    """A server, with the requests that the tests make."""

    def __init__(self, server: Server, http: httpx.AsyncClient) -> None:
        self.server = server
        self.http = http

    async def page(self, owner: str) -> list[Found]:
        """Make a request that sets *owner*, and return what it found."""
        return found((await self._get("/page/", owner=owner, steps=1)).text)

    async def begin(self, path: str, owner: str) -> tuple["asyncio.Task[httpx.Response]", str]:
        """Start a request that waits at a gate before each of its steps."""
        gate = f"{owner}-{next(numbers)}"
        return asyncio.create_task(self._get(path, owner=owner, gate=gate, steps=3)), gate

    async def reached(self, gate: str, step: int) -> None:
        await self._get("/reached/", gate=f"{gate}-{step}")

    async def open(self, gate: str, step: int) -> None:
        await self._get("/open/", gate=f"{gate}-{step}")

    async def outcome(self, task: str) -> list[Found]:
        """Wait until a task has ended, and return what it found."""
        outcome: list[Found] = (await self._get("/outcome/", task=task)).json()
        return outcome

    @asynccontextmanager
    async def socket(self, path: str) -> AsyncGenerator[ClientConnection]:
        async with connect(
            f"{self.server.websocket_url}{path}", proxy=None, open_timeout=PATIENCE
        ) as socket:
            yield socket

    async def _get(self, path: str, **query: str | int) -> httpx.Response:
        response = await self.http.get(path, params=query)
        return response.raise_for_status()


@asynccontextmanager
async def site_on(server: Server) -> AsyncGenerator[Site]:
    async with httpx.AsyncClient(base_url=server.url, timeout=PATIENCE, trust_env=False) as http:
        yield Site(server, http)


async def ask(socket: ClientConnection) -> Found:
    await socket.send("found")
    found: Found = json.loads(await socket.recv())
    return found


PATHS = ["page/", "async-page/", "stream/", "sync-stream/", "file/"]
every_path = pytest.mark.parametrize(
    "path",
    [
        *(pytest.param(f"/{path}", id=path.strip("/")) for path in PATHS),
        *(pytest.param(f"/wrapped/{path}", id=f"{path} below sync middleware") for path in PATHS),
    ],
)
every_socket = pytest.mark.parametrize("path", ["/async-socket/", "/sync-socket/"])


@every_path
async def test_a_request_finds_only_its_own_values_at_each_step_while_others_come_and_go(
    path: str, server: Server
) -> None:
    async with site_on(server) as site:
        request, gate = await site.begin(path, "ann")
        others: list[Found] = []
        for step in range(3):
            await site.reached(gate, step)
            others += await site.page("ben")
            await site.open(gate, step)

        assert found((await request).text) == [ANN, ANN, ANN, ANN]
    assert others == [BEN] * 6


async def test_a_request_finds_only_its_own_values_beside_a_socket_that_reads(
    server: Server,
) -> None:
    async with site_on(server) as site, site.socket("/async-socket/?owner=cy") as socket:
        request, gate = await site.begin("/stream/", "ann")
        for step in range(3):
            await site.reached(gate, step)
            await ask(socket)
            await site.open(gate, step)

        assert found((await request).text) == [ANN, ANN, ANN, ANN]


@every_socket
async def test_a_socket_finds_nothing_of_a_request(path: str, new_server: Server) -> None:
    async with site_on(new_server) as site:
        await site.page("ben")
        async with site.socket(path) as socket:
            seen = [await ask(socket)]
            await site.page("ben")
            seen.append(await ask(socket))

    assert seen == [NOTHING, NOTHING]


@every_socket
async def test_a_socket_finds_nothing_of_a_stream_in_flight(path: str, new_server: Server) -> None:
    async with site_on(new_server) as site:
        request, gate = await site.begin("/stream/", "ann")
        await site.reached(gate, 0)
        async with site.socket(path) as socket:
            seen = [await ask(socket)]
            await site.open(gate, 0)
            await site.reached(gate, 1)
            seen.append(await ask(socket))
        await site.open(gate, 1)
        await site.open(gate, 2)

        assert found((await request).text) == [ANN, ANN, ANN, ANN]
    assert seen == [NOTHING, NOTHING]


@every_socket
async def test_a_socket_finds_nothing_of_a_task(path: str, new_server: Server) -> None:
    async with site_on(new_server) as site:
        request, gate = await site.begin("/task/", "ann")
        await request
        await site.reached(gate, 0)
        async with site.socket(path) as socket:
            seen = [await ask(socket)]
            for step in range(3):
                await site.open(gate, step)
            await site.outcome("task-ann")
            seen.append(await ask(socket))

    assert seen == [NOTHING, NOTHING]


@every_socket
async def test_a_socket_finds_at_each_message_what_it_set_in_connect(
    path: str, server: Server
) -> None:
    async with site_on(server) as site, site.socket(f"{path}?owner=ann") as socket:
        seen = [await ask(socket)]
        for _ in range(3):
            await site.page("ben")
            seen.append(await ask(socket))

    assert seen == [ANN, ANN, ANN, ANN]


async def test_a_task_finds_nothing_of_its_request_and_then_its_own_values(server: Server) -> None:
    async with site_on(server) as site:
        request, gate = await site.begin("/task/", "ann")
        assert found((await request).text) == [ANN]
        for step in range(3):
            await site.reached(gate, step)
            await site.page("ben")
            await site.open(gate, step)

        assert await site.outcome("task-ann") == [NOTHING, ANNS_TASK, ANNS_TASK, ANNS_TASK]


async def test_each_of_two_concurrent_tasks_finds_only_its_own_values(server: Server) -> None:
    async with site_on(server) as site:
        request, anns = await site.begin("/task/", "ann")
        await request
        request, cys = await site.begin("/task/", "cy")
        await request
        for step in range(3):
            for gate in (anns, cys):
                await site.reached(gate, step)
            for gate in (anns, cys):
                await site.open(gate, step)

        assert await site.outcome("task-ann") == [NOTHING, ANNS_TASK, ANNS_TASK, ANNS_TASK]
        assert await site.outcome("task-cy") == [NOTHING, CYS_TASK, CYS_TASK, CYS_TASK]


@every_socket
async def test_a_task_finds_only_its_own_values_beside_a_socket_that_sets_another_owner(
    path: str, server: Server
) -> None:
    async with site_on(server) as site:
        request, gate = await site.begin("/task/", "ann")
        await request
        for step in range(3):
            await site.reached(gate, step)
            async with site.socket(f"{path}?owner=cy") as socket:
                await ask(socket)
            await site.open(gate, step)

        assert await site.outcome("task-ann") == [NOTHING, ANNS_TASK, ANNS_TASK, ANNS_TASK]
