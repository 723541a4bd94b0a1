"""What idle open connections cost the server in memory and threads.

python -m benchmarks.connections
"""

import asyncio
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from websockets.asyncio.client import connect

from tests.servers.server import HOST, Server, manage, serve

from .end_to_end import UVICORN, of_process

NUMBER = 1000
EXAMPLE = (
    *(sys.executable, "-m", "uvicorn", "example_project.asgi:application"),
    *("--host", HOST, "--port", "{port}", "--log-level", "warning"),
)
# How many connections to open at once. Connections beyond a server's backlog would be refused.
AT_ONCE = 50


@dataclass(frozen=True)
class Open:
    """Open connections of one kind.

    For each number of connections: the server's resident memory in KB, and its threads.
    """

    kind: str
    arm: str
    numbers: list[int]
    memory: list[int]
    threads: list[int]

    def fit(self) -> tuple[float, float]:
        """Return the KB and the threads that each additional connection takes."""
        of = partial(statistics.linear_regression, self.numbers)
        return of(self.memory).slope, of(self.threads).slope


def run(number: int = NUMBER) -> Iterator[Open]:
    with tempfile.TemporaryDirectory() as folder:
        path = {"SQLITE_PATH": f"{folder}/db.sqlite3", "DATABASE_URL": ""}
        for arm in ("plain", "stack"):
            log = Path(folder) / arm
            with serve(UVICORN, log=log, environment={**path, "ARM": arm}) as server:
                yield asyncio.run(_streams(server, arm, number))
        manage(path, "migrate")
        with serve(EXAMPLE, log=Path(folder) / "example", environment=path) as server:
            yield asyncio.run(_sockets(server, number))


async def _streams(server: Server, arm: str, number: int) -> Open:
    request = f"GET /events HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    async with AsyncExitStack() as connections:

        async def opened() -> None:
            reader, writer = await asyncio.open_connection(HOST, server.port)
            connections.callback(writer.close)
            writer.write(request)
            await reader.readuntil(b"data: 0")

        return await _counted(server, "streams", arm, number, opened)


async def _sockets(server: Server, number: int) -> Open:
    async with AsyncExitStack() as connections:

        async def opened() -> None:
            url = f"{server.websocket_url}/ws/echo/"
            socket = await connections.enter_async_context(
                connect(url, proxy=None, ping_interval=None, compression=None)
            )
            await socket.recv()

        return await _counted(server, "WebSockets of Channels", "the example", number, opened)


async def _counted(
    server: Server, kind: str, arm: str, number: int, opened: Callable[[], Awaitable[None]]
) -> Open:
    await opened()  # the first connection needs more than later ones
    result = Open(kind, arm, [], [], [])
    for count in range(0, number + 1, AT_ONCE):
        if count:
            await asyncio.gather(*(opened() for _ in range(AT_ONCE)))
        result.numbers.append(count)
        result.memory.append(of_process(server, "VmRSS"))
        result.threads.append(of_process(server, "Threads"))
    return result


if __name__ == "__main__":
    for each in run():
        print(each)
