"""A server restarts while clients are connected, and no client sees a broken response."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import httpx
import pytest

from .apps.lifespan.settings import HEADERS
from .lifespan import ONE_PROCESS, lifespan_command
from .server import PATIENCE, Server, serve

pytestmark = pytest.mark.process

CLIENTS = 10
# Starts the server again whenever it ends, as systemd does with Restart=always.
SUPERVISOR = """
import subprocess, sys
while True:
    server = subprocess.Popen(sys.argv[1:])
    print("started", server.pid)
    server.wait()
"""


@pytest.mark.parametrize("name", ONE_PROCESS)
async def test_every_client_reconnects_after_a_restart_and_none_sees_a_broken_response(
    name: str, tmp_path: Path
) -> None:
    supervised = [sys.executable, "-c", SUPERVISOR, *lifespan_command(name)]
    with serve(supervised, log=tmp_path / "log", environment={"GRACE": "0.5"}) as server:
        async with asyncio.TaskGroup() as group:
            clients = [group.create_task(streams(server.url, 2)) for _ in range(CLIENTS)]
            for restart in (1, 2):
                begun = restart * CLIENTS
                await asyncio.to_thread(server.log_lines, "stream: begun", at_least=begun)
                os.kill(started(server)[-1], signal.SIGTERM)

    for client in clients:
        first, second = client.result()
        assert first.startswith("data: ")
        assert second.startswith("data: ")
        assert first != second  # each stream contains its process ID


async def streams(url: str, number: int) -> list[str]:
    """Read that *number* of streams, each to its end, and return their texts.

    If a response is cut off, httpx raises an exception.
    """
    said: list[str] = []
    async with httpx.AsyncClient(base_url=url, headers=HEADERS, timeout=PATIENCE) as client:
        while len(said) < number:
            try:
                response = await client.send(client.build_request("GET", "/stream"), stream=True)
            except httpx.TransportError:  # no response has begun: try again
                await asyncio.sleep(0.05)
                continue
            text = (await response.aread()).decode()
            if response.status_code == 200:
                said.append(text)
            else:  # from Daphne, which accepts connections until it ends
                assert (response.status_code, response.headers["retry-after"]) == (503, "1")
                await asyncio.sleep(0.05)
    return said


def started(server: Server) -> list[int]:
    """Return the process IDs of the servers that were started so far."""
    return [int(process) for process in re.findall(r"^started (\d+)$", server.log(), re.MULTILINE)]
