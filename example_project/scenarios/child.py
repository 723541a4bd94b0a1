"""A server of the example's own, in a process of its own, to be played with and ended."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

PROJECT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
# Seconds for the child to start, and to end once it is told to.
PATIENCE = 30.0


@asynccontextmanager
async def child_server() -> AsyncGenerator[tuple[str, Process]]:
    """Start uvicorn at a free port; yield its URL and the process, and see to its end."""
    with socket.create_server((HOST, 0)) as listening:
        # The socket is handed over, so that nobody can take the port meanwhile.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "example_project.asgi:application"),
            *("--fd", str(listening.fileno()), "--lifespan", "on"),
            cwd=PROJECT,
            env={name: value for name, value in os.environ.items() if name != "WEB_CONCURRENCY"},
            pass_fds=[listening.fileno()],
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        url = f"http://{HOST}:{listening.getsockname()[1]}"
    try:
        await _answers(url)
        yield url, process
    finally:
        await _end(process)


async def _answers(url: str) -> None:
    # The socket listens already: the question waits there until the child takes it.
    async with httpx.AsyncClient(timeout=PATIENCE, trust_env=False) as client:
        (await client.get(f"{url}/readyz")).raise_for_status()


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
