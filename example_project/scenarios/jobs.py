"""A job that takes a while, and tells how far it is."""

import asyncio
import logging

from asgi_middleware import request_id_context

from ..live.publisher import tell

logger = logging.getLogger(__name__)

STEPS = 10
# Seconds for each.
STEP = 0.15


async def count(job: str, request_id: str | None) -> None:
    """Take *STEPS* steps, and tell of each. The ID is that of the request that wanted it.

    A task has none of its own: it may outlive its request by far.
    """
    with request_id_context(request_id):
        for done in range(STEPS + 1):
            await tell({"type": "job", "id": job, "done": done, "total": STEPS})
            await asyncio.sleep(STEP)
        logger.info("the job is done")
