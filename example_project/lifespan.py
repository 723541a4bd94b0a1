"""What the process opens when it starts, and closes when it stops: see ``asgi.py``.

What a context yields, views find in ``request.scope["state"]``, and consumers in
``self.scope["state"]``.
"""

import errno
import logging
import multiprocessing
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from datetime import datetime
from typing import Any

import httpx
from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.utils import timezone
from prometheus_client import multiprocess

from .metrics import SHARED
from .ticker import Ticker

logger = logging.getLogger(__name__)


@asynccontextmanager
async def alone(_state: dict[str, Any]) -> AsyncGenerator[None]:
    """Warn where several workers serve, and what is sent in one does not reach the others."""
    # gunicorn forks by itself, the other servers start their workers by multiprocessing.
    is_worker = multiprocessing.parent_process() or "gunicorn" in os.environ.get(
        "SERVER_SOFTWARE", ""
    )
    with closing(socket.socket(socket.AF_UNIX)) as name:
        if is_worker and isinstance(get_channel_layer(), InMemoryChannelLayer):
            try:
                # One for all workers of a server. It is Linux's abstract kind: no file, and
                # free again when the process has gone, however that ended.
                name.bind(f"\0example_project, workers of {os.getppid()}")
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    logger.warning(
                        "several workers serve, and WebSockets reach those of their own process"
                        " only: set REDIS_URL"
                    )
        yield


@asynccontextmanager
async def uptime(_state: dict[str, Any]) -> AsyncGenerator[dict[str, datetime]]:
    """Note when the process began to serve."""
    started_at = timezone.now()
    logger.info("open: serving since %s", started_at.isoformat())
    try:
        yield {"started_at": started_at}
    finally:
        logger.info("closed: served for %s", timezone.now() - started_at)


@asynccontextmanager
async def gauges(_state: dict[str, Any]) -> AsyncGenerator[None]:
    """At the end take this process out of the figures that several processes add up."""
    try:
        yield
    finally:
        if SHARED in os.environ:
            multiprocess.mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]


@asynccontextmanager
async def client(_state: dict[str, Any]) -> AsyncGenerator[dict[str, httpx.AsyncClient]]:
    """Keep connections to other services open, for as long as there are requests to use them."""
    logger.info("open: the client for other services")
    # The service that the example calls is on this machine: no proxy has to do with it.
    async with httpx.AsyncClient(timeout=5, trust_env=False) as client:
        yield {"client": client}
    logger.info("closed: the client for other services")


@asynccontextmanager
async def ticker(state: dict[str, Any]) -> AsyncGenerator[dict[str, Ticker]]:
    """Tick in a task that is restarted if it crashes, and ended before anything is closed."""
    ticker = Ticker()
    # "always": at the end it is not waited for, as it would not come to one.
    state["tasks"].spawn(ticker.run, name="ticker", restart="always")
    yield {"ticker": ticker}
