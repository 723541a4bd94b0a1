"""End servers with SIGTERM and SIGQUIT at random moments under a mixed load. See what is lost.

    python -m tests.drain_load --rounds 50 --seed 1

In each round, a new server serves pages, slow and sync requests, uploads, and streams and
WebSockets of apps that receive and of apps that only send. Sometimes a client does not read. Then
the server gets the signal. docs/deployment.md says what must happen:

* the process ends within its bound;
* each context is exited once, after all requests have ended;
* each request that the app has begun gets a complete response, or a 503 after the grace. Streams
  get a well-formed end, and WebSockets are closed.
"""

import argparse
import asyncio
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests.servers.endings import command
from tests.servers.lifespan import events
from tests.servers.server import HOST, PATIENCE, Server, serve

GRACE = 1.0
# How long a server waits for a client that does not read, in seconds. SERVERS has the option that
# sets this bound. Daphne does not wait for such a client.
BOUND = 8.0
# How many seconds past its bound a process may end on a busy machine. The figures show the latest
# end. A process that never ends is killed after PATIENCE, which is longer.
SLACK = 18.0
SERVERS: dict[str, tuple[str, ...]] = {
    "uvicorn": ("--timeout-graceful-shutdown", f"{BOUND:.0f}"),
    "hypercorn --workers 0": ("--graceful-timeout", f"{BOUND:.0f}"),
    "granian": ("--workers-kill-timeout", f"{BOUND:.0f}"),
    "daphne": (),
}
# The close codes in the table of docs/deployment.md, without granian's.
_CLOSED = ("1000", "1012")
_PARTS = re.compile(r"200 (part\n)+")


@dataclass
class Figures:
    """The results of all rounds."""

    ended: Counter[str] = field(default_factory=Counter[str])
    results: Counter[str] = field(default_factory=Counter[str])
    lost: list[str] = field(default_factory=list[str])
    contexts: list[str] = field(default_factory=list[str])
    late: list[str] = field(default_factory=list[str])
    not_begun: int = 0
    latest: tuple[float, str] = (-BOUND, "")
    """The latest end of a process: in seconds from its bound, and in which round."""

    @property
    def is_well(self) -> bool:
        return not (self.lost or self.contexts or self.late)

    def lines(self) -> list[str]:
        return [
            f"processes: {_shown(self.ended)}",
            f"requests: {_shown(self.results)}; not begun by the app: {self.not_begun}",
            f"latest end: {self.latest[0]:+.1f} s from its bound ({self.latest[1]})",
            f"late: {len(self.late)}  lost: {len(self.lost)}  contexts: {len(self.contexts)}",
            *self.late,
            *self.lost,
            *self.contexts,
        ]


class Round:
    """The clients of one server, until it has ended."""

    def __init__(self, server: Server, chance: random.Random) -> None:
        self.results: dict[str, str] = {}
        self._server = server
        self._chance = chance
        self._http: httpx.AsyncClient
        self._over = asyncio.Event()
        self._numbers = count()

    async def run(self, kinds: Sequence[str], process: int, signal_number: int) -> float:
        """Send the signal under load; return how many seconds later the server has ended."""
        chosen = self._chance.choices(kinds, k=self._chance.randint(4, 16))
        async with httpx.AsyncClient(
            base_url=self._server.url, timeout=PATIENCE, trust_env=False
        ) as self._http:
            clients = [asyncio.create_task(self._client(kind)) for kind in chosen]
            await asyncio.to_thread(self._server.log_lines, ": begun$")
            await asyncio.sleep(self._chance.uniform(0, 1.5))
            begun = time.monotonic()
            os.kill(process, signal_number)
            await asyncio.to_thread(_wait, self._server.process)
            seconds = time.monotonic() - begun
            self._over.set()
            await asyncio.gather(*clients)
        return seconds

    async def _client(self, kind: str) -> None:
        """Make requests of this kind, one after the other, until the server does not respond."""
        while not self._over.is_set():
            name = f"{kind}?{next(self._numbers)}"
            self.results[name] = result = await CLIENTS[kind](self, name)
            if not result.startswith("200 "):
                return

    async def get(self, name: str, body: AsyncGenerator[bytes] | None = None) -> str:
        try:
            method = "GET" if body is None else "POST"
            response = await self._http.request(method, f"/{name}", content=body)
        except httpx.TransportError as error:
            return f"cut: {error!r}"
        return f"{response.status_code} {response.text}"

    async def upload(self, name: str) -> str:
        async def body() -> AsyncGenerator[bytes]:
            for _ in range(self._chance.randint(1, 5)):
                yield b"chunk" * 1000
                await asyncio.sleep(0.05)

        return await self.get(name, body())

    async def websocket(self, name: str) -> str:
        try:
            async with connect(
                f"{self._server.websocket_url}/{name}", proxy=None, open_timeout=PATIENCE
            ) as connection:
                while True:
                    await connection.send("hello")
                    await asyncio.wait_for(connection.recv(), PATIENCE)
                    await asyncio.sleep(0.02)
        except ConnectionClosed as closed:
            return str(closed.rcvd.code if closed.rcvd else 1006)
        except (WebSocketException, OSError) as error:
            return f"cut: {error!r}"

    async def unread(self, name: str) -> str:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with suppress(OSError):
                await loop.sock_connect(client, (HOST, self._server.port))
                request = f"GET /{name} HTTP/1.1\r\nhost: localhost\r\n\r\n"
                await loop.sock_sendall(client, request.encode())
                await self._over.wait()
        return "not read"


CLIENTS: dict[str, Callable[[Round, str], Awaitable[str]]] = {
    **dict.fromkeys(("page", "slow", "sync", "receives", "sends"), Round.get),
    **dict.fromkeys(("chat", "ticks"), Round.websocket),
    "upload": Round.upload,
    "big": Round.unread,
}


def measure(rounds: int, seed: int, names: Sequence[str] = tuple(SERVERS)) -> Figures:
    """Play that number of rounds on each server."""
    figures = Figures()
    for number in range(rounds):
        for name in names:
            chance = random.Random(f"{seed} {name} {number}")
            with tempfile.TemporaryDirectory() as folder:
                _play(name, chance, Path(folder), figures, f"{name}, round {number}")
    return figures


def _play(name: str, chance: random.Random, folder: Path, figures: Figures, label: str) -> None:
    signal_number = chance.choice([signal.SIGTERM, signal.SIGQUIT])
    # The main process of granian does not handle SIGQUIT, so its worker gets it.
    to_worker = name == "granian" and signal_number == signal.SIGQUIT
    # Nothing bounds how long such a worker waits, or hypercorn on Python 3.12 and newer.
    unbounded = to_worker or (name.startswith("hypercorn") and sys.version_info >= (3, 12))
    environment = {"GRACE": f"{GRACE}"}
    with serve(
        command(name, *SERVERS[name]), log=folder / "log", environment=environment
    ) as server:
        server.log_lines(" opened$")
        [worker] = events(server)
        process = int(worker) if to_worker else server.process.pid
        kinds = [kind for kind in CLIENTS if kind != "big" or not unbounded]
        played = Round(server, chance)
        seconds = asyncio.run(played.run(kinds, process, signal_number))
        said = events(server)[worker]
        log = server.log()
    before = log.partition("the drain begins")[0]
    unread = any(kind.startswith("big?") for kind in played.results)
    bound = (BOUND if unread and SERVERS[name] else GRACE) + 2
    status = server.process.returncode
    figures.latest = max(figures.latest, (seconds - bound, label))
    if seconds > bound + SLACK:
        figures.late.append(f"{label}: {seconds:.1f} s, more than {bound:.1f} s")
    figures.ended[f"{signal.Signals(signal_number).name} -> {status}"] += 1
    if said.count("opened") != 1 or said.count("closed") != 1:
        figures.contexts.append(f"{label}: {said.count('closed')} times closed")
    for request, result in played.results.items():
        begun = f"{request}: begun" in said
        kind = request.partition("?")[0]
        if not begun:
            figures.not_begun += 1
        elif f"{request}: ended" in said and _is_well(name, kind, result):
            figures.results[kind] += 1
        elif f" {request}: begun" in before:
            figures.lost.append(f"{label}: {request}: {result}")
        else:
            figures.results["begun after the signal and cut"] += 1
    if any(each.startswith(f"{label}:") for each in (*figures.lost, *figures.contexts)):
        print(f"{label}, its log:", *log.splitlines()[-40:], sep="\n  ", file=sys.stderr)


def _is_well(name: str, kind: str, result: str) -> bool:
    match kind:
        case "big":
            return True
        case "chat":
            return result in _CLOSED or (name == "granian" and result == "1006")
        case "ticks":
            # This app does not receive. If messages of the client are still unread, the system
            # resets the connection, and the close frame may be lost.
            return result in (*_CLOSED, "1006")
        case "receives" | "sends":
            return _PARTS.fullmatch(result) is not None or result.startswith("503 ")
        case _:
            return result.startswith(("200 ", "503 "))


def _wait(process: "subprocess.Popen[bytes]") -> None:
    """Wait for the process to end. If it does not, kill it and its workers."""
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _shown(counter: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(counter.items()))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.drain_load", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server", action="append", choices=list(SERVERS))
    options = parser.parse_args()
    # Shells may ignore SIGQUIT in background jobs, and the servers would inherit that.
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    figures = measure(options.rounds, options.seed, options.server or tuple(SERVERS))
    print(*figures.lines(), sep="\n")
    if not figures.is_well:
        sys.exit(1)


if __name__ == "__main__":
    main()
