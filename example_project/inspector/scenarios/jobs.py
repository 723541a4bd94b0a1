"""A job that takes a while and reports its progress."""

import asyncio
import logging

from asgi_middleware import request_id_context

from ..live.publisher import publish

logger = logging.getLogger(__name__)

STEPS = 10
# Seconds for each step.
STEP = 0.15


async def count(job: str, request_id: str | None) -> None:
    """Take *STEPS* steps, and publish each. *request_id* names the request that started the job.

    A task has no request ID by itself, because it may run long after its request has ended.
    """
    with request_id_context(request_id):
        for done in range(STEPS + 1):
            await publish({"type": "job", "id": job, "done": done, "total": STEPS})
            await asyncio.sleep(STEP)
        logger.info("the job is done")
