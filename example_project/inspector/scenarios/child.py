"""A child server: a second copy of the example, in a process that a scenario may stop."""

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

PROJECT = Path(__file__).resolve().parents[3]
HOST = "127.0.0.1"
# How many seconds the child has to start, and to end after SIGTERM.
PATIENCE = 30.0


@asynccontextmanager
async def child_server() -> AsyncGenerator[tuple[str, Process]]:
    """Start uvicorn on a free port, yield its URL and its process, and end the process."""
    with socket.create_server((HOST, 0)) as listening:
        # The child inherits the socket, so that nobody else can take the port.
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
        await _until_ready(url)
        yield url, process
    finally:
        await _end(process)


async def _until_ready(url: str) -> None:
    # The socket already listens, so the request waits there until the child accepts it.
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
