"""What the inspector's views need: a client for other services, and a clock that all share."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from .ticker import Ticker

logger = logging.getLogger(__name__)


@asynccontextmanager
async def client(_state: dict[str, Any]) -> AsyncGenerator[dict[str, httpx.AsyncClient]]:
    """Keep connections to other services open until no request uses them any more."""
    logger.info("open: the client for other services")
    # The example calls a service on this machine, so it ignores proxies in the environment.
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
