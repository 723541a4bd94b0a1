"""Load the example while a worker is killed, Redis is restarted, and the site is restarted.

    python -m tests.load --clients 300 --seconds 60

Each client repeats one kind of request: pages, queries, uploads, streams or WebSockets. It checks
the responses. A broken connection counts unless it belonged to the killed worker, or to a request
that had not begun, which the client retries once.
"""

import argparse
import asyncio
import hashlib
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.servers.redis import redis
from tests.servers.server import HOST, PATIENCE, Server, manage, serve

WORKERS = 2
SERVER = (
    *(sys.executable, "-m", "uvicorn", "example_project.asgi:application"),
    *("--host", HOST, "--port", "{port}", "--workers", str(WORKERS), "--lifespan", "on"),
    *("--log-level", "warning"),
    # Under load, a worker takes longer to start than uvicorn waits by default.
    *("--timeout-worker-healthcheck", "60"),
)
# The most requests that the pool serves at once: size + max_overflow.
POOL = 16
# Broken connections of requests that began before the kill, or at most this many seconds later,
# count as the killed worker's.
AFTERMATH = 3.0
# When a worker of uvicorn ends, it closes idle connections, even if a request is on its way, and
# it responds with its own 500 to WebSocket handshakes that have just arrived.
_NOT_BEGUN = (
    "without sending a response",
    "did not receive a valid HTTP response",
    "ReadError",
    "ConnectionResetError",
    "status_code=500",
)
# https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number
_SERVICE_RESTART = 1012
UPLOAD = random.Random(1).randbytes(200_000)


@dataclass
class Figures:
    """What the clients saw, and what the workers used."""

    responses: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    broken: list[str] = field(default_factory=list[str])
    of_the_killed: int = 0
    retried: int = 0
    unavailable: int = 0
    threads: int = 0
    memory: list[int] = field(default_factory=list[int])
    """Resident MB of the largest worker: after the last restart, and at the end."""

    def lines(self) -> list[str]:
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(self.responses.items()))
        return [
            f"responses: {counts}",
            f"wrong: {len(self.wrong)}  broken: {len(self.broken)}"
            f"  broken by the kill: {self.of_the_killed}  retried: {self.retried}"
            f"  unavailable: {self.unavailable}",
            f"most threads of a worker: {self.threads}",
            f"memory of a worker, MB: {self.memory}",
        ]


class UnavailableError(Exception):
    """A 503 with Retry-After: the worker is ending, and the request outlasted its grace."""


async def _raise_unavailable(response: httpx.Response) -> None:
    if response.status_code == 503 and "retry-after" in response.headers:
        raise UnavailableError


class Load:
    def __init__(self, server: Server, figures: Figures) -> None:
        self._server = server
        self._figures = figures
        self._killed_at = -math.inf
        self._over = False

    async def run(self, clients: int, seconds: float, restart_redis: Callable[[], None]) -> None:
        kinds = (self._page, self._notes, self._status, self._upload, self._stream, self._socket)
        tasks = [asyncio.create_task(self._client(kinds[n % len(kinds)])) for n in range(clients)]
        sampling = asyncio.create_task(self._sample())
        try:
            await self._settled(set())
            await asyncio.sleep(seconds / 4)
            self._kill_a_worker()
            await asyncio.sleep(seconds / 4)
            await asyncio.to_thread(restart_redis)
            await asyncio.sleep(seconds / 4)
            # uvicorn replaces its workers one by one.
            before = set(self._workers())
            self._server.process.send_signal(signal.SIGHUP)
            await self._settled(before)
            self._figures.memory.append(self._memory())
            await asyncio.sleep(seconds / 4)
        finally:
            self._over = True
            await asyncio.gather(*tasks)
            sampling.cancel()
        self._figures.memory.append(self._memory())

    async def _client(self, ask: Callable[[httpx.AsyncClient], Awaitable[bool]]) -> None:
        kind = ask.__name__.removeprefix("_")
        async with httpx.AsyncClient(
            base_url=self._server.url,
            timeout=PATIENCE,
            trust_env=False,
            event_hooks={"response": [_raise_unavailable]},
        ) as client:
            again = False
            while not self._over:
                began = time.monotonic()
                try:
                    right = await ask(client)
                except UnavailableError:
                    self._figures.unavailable += 1
                except (
                    httpx.TransportError,
                    ConnectionClosed,
                    WebSocketException,
                    OSError,
                ) as error:
                    again = self._note_broken(f"{kind}: {error!r}", began, again=again)
                else:
                    again = False
                    self._figures.responses[kind] += 1
                    if not right:
                        self._figures.wrong.append(kind)
                await asyncio.sleep(random.uniform(0, 0.05))

    def _note_broken(self, what: str, began: float, *, again: bool) -> bool:
        """Count a broken request. Return whether to retry it silently, as a browser does."""
        if began < self._killed_at + AFTERMATH:
            self._figures.of_the_killed += 1
        elif not again and any(each in what for each in _NOT_BEGUN):
            self._figures.retried += 1
            return True
        else:
            self._figures.broken.append(what)
        return False

    # Each of these sends one request, and returns whether the response was right.

    async def _page(self, client: httpx.AsyncClient) -> bool:
        response = await client.get("/")
        return response.status_code == 200 and response.headers["x-request-id"] in response.text

    async def _notes(self, client: httpx.AsyncClient) -> bool:
        response = await client.get("/notes/")
        return response.status_code == 200 and "<h1>Notes</h1>" in response.text

    async def _status(self, client: httpx.AsyncClient) -> bool:
        response = await client.get("/status/")
        return bool(response.json()["request_id"] == response.headers["x-request-id"])

    async def _upload(self, client: httpx.AsyncClient) -> bool:
        if "csrftoken" not in client.cookies:
            await client.get("/")
        size = random.randrange(1, len(UPLOAD))
        sent = UPLOAD[:size]
        response = await client.post(
            "/uploads/",
            files={"file": ("file", sent)},
            headers={"x-csrftoken": client.cookies["csrftoken"]},
        )
        return response.status_code == 200 and response.json() == {
            "size": size,
            "sha256": hashlib.sha256(sent).hexdigest(),
        }

    async def _stream(self, client: httpx.AsyncClient) -> bool:
        async with client.stream("GET", "/scenarios/stream/") as response:
            lines = [line async for line in response.aiter_lines()]
        # A restart ends the stream early, but well-formed.
        return lines == [f"line {number}" for number in range(1, len(lines) + 1)]

    async def _socket(self, client: httpx.AsyncClient) -> bool:
        url = f"{self._server.websocket_url}/ws/echo/"
        async with connect(url, proxy=None, open_timeout=PATIENCE) as socket:
            try:
                welcome = json.loads(await socket.recv())
                echoes = []
                for number in range(10):
                    await socket.send(json.dumps(number))
                    echoes.append(json.loads(await socket.recv()))
            except ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code == _SERVICE_RESTART:
                    return True
                raise
        expected = [{"type": "echo", "content": number} for number in range(10)]
        return welcome["type"] == "welcome" and echoes == expected

    # The workers.

    def _workers(self) -> list[int]:
        listed = subprocess.run(
            ["pgrep", "-f", "--parent", str(self._server.process.pid), "spawn_main"],
            capture_output=True,
            text=True,
            check=False,
        ).stdout
        return [int(number) for number in listed.split()]

    def _kill_a_worker(self) -> None:
        self._killed_at = time.monotonic()
        os.kill(self._workers()[0], signal.SIGKILL)

    async def _settled(self, before: set[int]) -> None:
        """Wait until all workers run, and none of those from *before* is left."""
        async with asyncio.timeout(4 * PATIENCE):
            while len(workers := self._workers()) < WORKERS or before & set(workers):  # noqa: ASYNC110 -- other processes
                await asyncio.sleep(0.1)

    async def _sample(self) -> None:
        while True:
            for worker in self._workers():
                with suppress(OSError):
                    threads = _of_status(worker, "Threads")
                    self._figures.threads = max(self._figures.threads, threads)
            await asyncio.sleep(0.2)

    def _memory(self) -> int:
        return max(_of_status(worker, "VmRSS") // 1024 for worker in self._workers())


def _of_status(process: int, name: str) -> int:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    [figure] = re.findall(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    return int(figure)


def measure(clients: int, seconds: float) -> Figures:
    """Load a new site that has its own Redis."""
    figures = Figures()
    with redis() as running, tempfile.TemporaryDirectory() as folder:
        environment = {
            "DJANGO_ENV": "development",
            "SQLITE_PATH": f"{folder}/db.sqlite3",
            **running.environment,
        }
        manage(environment, "migrate")

        def restart_redis() -> None:
            running.stop()
            running.start()

        with serve(SERVER, log=Path(folder) / "log", environment=environment) as server:
            load = Load(server, figures)
            asyncio.run(load.run(clients, seconds, restart_redis))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("--clients", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    figures = measure(options.clients, options.seconds)
    print(*figures.lines(), sep="\n")
    if figures.wrong or figures.broken:
        sys.exit(f"wrong: {Counter(figures.wrong)}, broken: {Counter(figures.broken)}")


if __name__ == "__main__":
    main()
