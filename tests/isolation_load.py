"""Load pages, streams, WebSockets and tasks. Each of them may see only what it has set itself.

    python -m tests.isolation_load --clients 60 --seconds 60
    python -m tests.isolation_load --clients 60 --seconds 60 --plain

The app (``tests/servers/apps/isolation.py``) compares what it finds on a thread and on its
connection with what was set there. One client in five leaves in the middle.
"""

import argparse
import asyncio
import itertools
import json
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from tests.servers.server import PATIENCE, Server, command, serve

# Other requests run between two steps. A sync page takes all of its steps in one call, so they
# are few.
STEPS, STEPS_OF_ONE_CALL = 30, 5
# The share of clients that leave in the middle, and after at most how many seconds they do.
LEAVING, SOON = 0.2, 0.2
# With fewer comparisons, or fewer clients that have left, the load proves nothing.
ENOUGH_CHECKS, ENOUGH_LEFT = 1000, 10
# Plain Channels and the event loop keep these threads when nothing is in flight.
OTHER_THREADS = 2
# Exceptions in the server's log, and our own warnings.
_ERRORS = re.compile(
    r"^(?:[\w.]*(?:Error|Exception)\b|(?:WARNING|ERROR) asgi_middleware).*", re.MULTILINE
)
# With Django 6.1, asgiref raises this if a client leaves while sync middleware waits for a view,
# with or without a pool.
_NOT_OURS = "CurrentThreadExecutor already quit or is broken"


@contextmanager
def served(folder: Path, *, pooled: bool, audited: bool = False) -> Generator[Server]:
    """Serve the app with or without a pool."""
    environment = {
        "SQLITE_PATH": str(folder.resolve() / "db.sqlite3"),
        "POOLED": str(int(pooled)),
        "AUDITED": str(int(audited)),
    }
    # The server closes no idle connection while a client may use it again.
    options = ("--no-access-log", "--timeout-keep-alive", "60")
    run = command("uvicorn", "tests.servers.apps.isolation:application", *options)
    with serve(run, log=folder / "log", environment=environment) as server:
        yield server


def own(owner: str | None) -> dict[str, str | None]:
    """Return what is found on a thread and its connection if *owner* was set there."""
    return {"user": owner, "tenant": owner}


def found(body: str) -> list[dict[str, str | None]]:
    """Return what a page found at each step, and again at its end."""
    return [json.loads(line) for line in body.splitlines() if line]


@dataclass
class Figures:
    """What the clients saw, and what the app compared."""

    responses: Counter[str] = field(default_factory=Counter[str])
    left: Counter[str] = field(default_factory=Counter[str])
    wrong: list[str] = field(default_factory=list[str])
    """Responses that belonged to another client."""
    broken: list[str] = field(default_factory=list[str])
    threads: int = 0
    """The most threads at any moment."""
    statistics: dict[str, Any] = field(default_factory=dict[str, Any])
    """The app's statistics, at the end."""
    errors: list[str] = field(default_factory=list[str])
    """The errors in the server's log."""

    @property
    def checks(self) -> int:
        return sum(self.statistics["checks"].values())

    @property
    def are_enough(self) -> bool:
        return self.checks > ENOUGH_CHECKS and sum(self.left.values()) > ENOUGH_LEFT

    @property
    def mixed_up(self) -> int:
        mixed_up: dict[str, int] = self.statistics["mixed up"]
        return sum(mixed_up.values()) + len(self.wrong)

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in flight, and no thread or connection is left over."""
        at_rest = ("requests", "tasks", "connections")
        pool = self.statistics["pool"] or {}
        # A pool has as many more threads for calls that belong to no request.
        threads = 1 + OTHER_THREADS + 2 * self.statistics["pool size"]
        return (
            not any(self.statistics[name] for name in at_rest)
            and not any(pool.get(name) for name in ("leased", "overflow", "waiting"))
            and self.statistics["threads"] <= threads
        )

    def lines(self) -> list[str]:
        counts = dict(self.statistics)
        checks, mixed_up, examples = (
            counts.pop(name) for name in ("checks", "mixed up", "examples")
        )
        return [
            f"responses: {_counted(self.responses)}",
            f"left in the middle: {_counted(self.left)}",
            f"checks: {self.checks}: {_counted(checks)}",
            f"mix-ups: {self.mixed_up}: {_counted(mixed_up)}",
            f"wrong responses: {len(self.wrong)}  broken: {len(self.broken)}"
            f"  errors in the log: {len(self.errors)}",
            f"most threads: {self.threads}",
            f"at the end: {counts}",
            *(f"mixed up: {example}" for example in examples),
            *(f"wrong: {example}" for example in self.wrong[:5]),
            *(f"broken: {example}" for example in self.broken[:5]),
            *(f"log: {example}" for example in self.errors[:5]),
        ]


def _counted(counter: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counter.items()))


class Load:
    def __init__(self, server: Server, figures: Figures) -> None:
        self._server = server
        self._figures = figures
        self._numbers = itertools.count()
        self._over = False

    async def run(self, clients: int, seconds: float) -> None:
        tasks = [
            asyncio.create_task(self._client(kind, random.Random(number)))
            for number, kind in zip(range(clients), itertools.cycle(self._kinds()))
        ]
        async with self._http() as http:
            await self._sample(http, seconds)
            self._over = True
            await asyncio.gather(*tasks)
            await self._until_idle(http)

    def _kinds(self) -> dict[str, Callable[[httpx.AsyncClient], Awaitable[None]]]:
        """Return the kinds of requests. Each client repeats one of them."""

        def page(path: str, steps: int) -> Callable[[httpx.AsyncClient], Awaitable[None]]:
            return lambda http: self._page(http, path, steps)

        def socket(path: str, *, has_owner: bool) -> Callable[[Any], Awaitable[None]]:
            return lambda _http: self._socket(path, has_owner=has_owner)

        pages = {
            "page/": STEPS_OF_ONE_CALL,
            "async-page/": STEPS,
            "stream/": STEPS,
            "sync-stream/": STEPS_OF_ONE_CALL,
            "file/": STEPS_OF_ONE_CALL,
        }
        return {
            **{path: page(path, steps) for path, steps in pages.items()},
            **{f"wrapped/{path}": page(f"wrapped/{path}", steps) for path, steps in pages.items()},
            "task/": self._task,
            "page/ without an owner": self._page_without_owner,
            "async-socket/": socket("async-socket/", has_owner=True),
            "sync-socket/": socket("sync-socket/", has_owner=True),
            "async-socket/ without an owner": socket("async-socket/", has_owner=False),
            "sync-socket/ without an owner": socket("sync-socket/", has_owner=False),
        }

    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self._server.url, timeout=PATIENCE, trust_env=False)

    async def _client(self, kind: str, chance: random.Random) -> None:
        ask = self._kinds()[kind]
        async with self._http() as http:
            while not self._over:
                leaves = chance.random() < LEAVING
                try:
                    async with asyncio.timeout(chance.uniform(0, SOON) if leaves else PATIENCE):
                        await ask(http)
                except TimeoutError:
                    if leaves:
                        self._figures.left[kind] += 1
                    else:
                        self._figures.broken.append(f"{kind}: no response within {PATIENCE} s")
                except (httpx.HTTPError, WebSocketException, OSError) as error:
                    self._figures.broken.append(f"{kind}: {error!r}")
                else:
                    self._figures.responses[kind] += 1

    # Each of these sends one request, and checks what it receives.

    async def _page(self, http: httpx.AsyncClient, path: str, steps: int) -> None:
        owner = self._next_owner("request")
        response = await http.get(f"/{path}", params={"owner": owner, "steps": steps})
        response.raise_for_status()
        self._compare(path, found(response.text), [own(owner)] * (steps + 1))

    async def _page_without_owner(self, http: httpx.AsyncClient) -> None:
        response = await http.get("/page/", params={"steps": STEPS_OF_ONE_CALL})
        response.raise_for_status()

    async def _task(self, http: httpx.AsyncClient) -> None:
        owner = self._next_owner("request")
        response = await http.get("/task/", params={"owner": owner, "steps": STEPS})
        response.raise_for_status()
        self._compare("task/", found(response.text), [own(owner)])
        task = f"task-{owner}"
        response = await http.get("/outcome/", params={"task": task})
        response.raise_for_status()
        self._compare("outcome/", response.json(), [own(None)] + [own(task)] * STEPS)

    async def _socket(self, path: str, *, has_owner: bool) -> None:
        owner = self._next_owner("socket")
        query = f"?owner={owner}" if has_owner else ""
        url = f"{self._server.websocket_url}/{path}{query}"
        async with connect(url, proxy=None, open_timeout=PATIENCE) as socket:
            try:
                for _ in range(STEPS):
                    await socket.send("within")
                    seen = json.loads(await socket.recv())
                    if has_owner:
                        self._compare(path, [seen], [own(owner)])
            except asyncio.CancelledError:
                # Leave without a closing handshake.
                socket.transport.abort()
                raise

    def _next_owner(self, kind: str) -> str:
        return f"{kind}-{next(self._numbers)}"

    def _compare(self, path: str, seen: list[Any], right: list[Any]) -> None:
        if seen != right:
            differs = [pair for pair in itertools.zip_longest(seen, right) if pair[0] != pair[1]]
            other, own = differs[0]
            self._figures.wrong.append(f"{path}: {other} instead of {own}")

    # The app.

    async def _sample(self, http: httpx.AsyncClient, seconds: float) -> None:
        """Sample for so many *seconds*, and longer on a busy machine, until figures are enough."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline + PATIENCE:
            await self._ask_for_statistics(http)
            if time.monotonic() > deadline and self._figures.are_enough:
                return
            await asyncio.sleep(2)

    async def _until_idle(self, http: httpx.AsyncClient) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await self._ask_for_statistics(http)
                while not self._figures.is_idle:
                    await asyncio.sleep(0.1)
                    await self._ask_for_statistics(http)

    async def _ask_for_statistics(self, http: httpx.AsyncClient) -> None:
        response = await http.get("/statistics/")
        self._figures.statistics = response.raise_for_status().json()
        self._figures.threads = max(self._figures.threads, self._figures.statistics["threads"])


def measure(clients: int, seconds: float, *, pooled: bool, audited: bool = False) -> Figures:
    """Load a new server, and wait until it is idle again."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(folder, pooled=pooled, audited=audited) as server:
            asyncio.run(Load(server, figures).run(clients, seconds))
            logged: list[str] = _ERRORS.findall(server.log())
            figures.errors = [each for each in logged if _NOT_OURS not in each]
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.isolation_load", description=__doc__)
    parser.add_argument("--clients", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--plain", action="store_true", help="without the pool")
    parser.add_argument("--audited", action="store_true", help="with receivers of signals")
    options = parser.parse_args()
    figures = measure(
        options.clients, options.seconds, pooled=not options.plain, audited=options.audited
    )
    print(*figures.lines(), sep="\n")
    if figures.mixed_up or figures.broken or figures.errors or not figures.is_idle:
        sys.exit("mixed up, broken or not idle")


if __name__ == "__main__":
    main()
