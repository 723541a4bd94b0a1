"""What the process opens when it starts, and closes when it stops."""

import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from django.utils import timezone

logger = logging.getLogger(__name__)


@asynccontextmanager
async def uptime(_state: dict[str, Any]) -> AsyncGenerator[dict[str, datetime]]:
    """Note when the process began to serve. Views find it in ``request.scope["state"]``."""
    started_at = timezone.now()
    logger.info("open: serving since %s", started_at.isoformat())
    try:
        yield {"started_at": started_at}
    finally:
        logger.info("closed: served for %s", timezone.now() - started_at)
