"""The contexts that ``asgi.py`` lists: startup opens them, and shutdown closes them.

Views and consumers get what a context yields from ``get_state()``.
"""

import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from django.utils import timezone
from prometheus_client import multiprocess

from .metrics import SHARED

logger = logging.getLogger(__name__)


@asynccontextmanager
async def uptime(_state: dict[str, Any]) -> AsyncGenerator[dict[str, datetime]]:
    """Record the time at which the process began to serve."""
    started_at = timezone.now()
    logger.info("open: serving since %s", started_at.isoformat())
    try:
        yield {"started_at": started_at}
    finally:
        logger.info("closed: served for %s", timezone.now() - started_at)


@asynccontextmanager
async def gauges(_state: dict[str, Any]) -> AsyncGenerator[None]:
    """At shutdown, remove this process from the figures that several processes share."""
    try:
        yield
    finally:
        if SHARED in os.environ:
            multiprocess.mark_process_dead(os.getpid())  # type: ignore[no-untyped-call]
