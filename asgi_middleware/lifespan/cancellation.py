"""The end of a task that may not react to its cancellation."""

import asyncio
import logging
from typing import Any

from .deadline import PATIENCE

logger = logging.getLogger(__name__)


async def cancel(
    task: "asyncio.Task[Any]", name: str, *, ended: "asyncio.Future[Any] | None" = None
) -> None:
    """Cancel *task*, and wait until it, or *ended*, is done; abandon it if it keeps running."""
    ended = ended or task
    task.cancel()
    try:
        await asyncio.wait({ended}, timeout=PATIENCE)
    finally:
        if not ended.done():
            abandon(task, name)


def abandon(task: "asyncio.Task[Any]", name: str) -> None:
    """Give up on a task that ignores its cancellation, so that nothing waits for it."""
    logger.error("%s keeps running although it was cancelled; it is abandoned", name)
    # asyncio.run() awaits every task that asyncio knows of, however long it takes.
    # https://docs.python.org/3/library/asyncio-extending.html#task-lifetime-support
    asyncio.tasks._unregister_task(task)  # noqa: SLF001
