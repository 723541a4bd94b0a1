"""What the inspector needs: a client for other services, a shared clock, and a warning."""

import errno
import logging
import multiprocessing
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx
from channels.layers import InMemoryChannelLayer, get_channel_layer

from .ticker import Ticker

logger = logging.getLogger(__name__)


@asynccontextmanager
async def worker_check(_state: dict[str, Any]) -> AsyncGenerator[None]:
    """Warn if several workers serve without Redis: messages cannot get from one to another."""
    # gunicorn forks its workers. The other servers start theirs with multiprocessing.
    is_worker = multiprocessing.parent_process() or "gunicorn" in os.environ.get(
        "SERVER_SOFTWARE", ""
    )
    with closing(socket.socket(socket.AF_UNIX)) as name:
        if is_worker and isinstance(get_channel_layer(), InMemoryChannelLayer):
            try:
                # All workers of a server try to bind the same name. It is an abstract Linux name,
                # not a file, so it is free again however the process ends.
                name.bind(f"\0example_project, workers of {os.getppid()}")
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    logger.warning(
                        "several workers serve, but a message reaches only the WebSockets of its"
                        " own process; set REDIS_URL"
                    )
        yield


@asynccontextmanager
async def client(_state: dict[str, Any]) -> AsyncGenerator[dict[str, httpx.AsyncClient]]:
    """Keep connections to other services open until no request uses them any more."""
    logger.info("open: the client for other services")
    # The example calls only this machine, so it ignores proxy settings in the environment.
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        yield {"client": client}
    logger.info("closed: the client for other services")


@asynccontextmanager
async def ticker(state: dict[str, Any]) -> AsyncGenerator[dict[str, Ticker]]:
    """Tick in a task that restarts if it crashes, and ends before any context is closed."""
    ticker = Ticker()
    # "always": the task never ends by itself, so shutdown cancels it without waiting.
    state["tasks"].spawn(ticker.run, name="ticker", restart="always")
    yield {"ticker": ticker}
