"""Failures of startup and shutdown with their names, and tasks that do not stop when cancelled."""

import asyncio
import logging
import re
from typing import Any

from .timeouts import PATIENCE

logger = logging.getLogger(__name__)

# The format of Failure.__str__, which an inner LifespanMiddleware sends to an outer one.
_REPORT = re.compile(r"(?P<text>.*) \(in (?P<name>[\w.<>]+)\)")


class Failure:
    """An error, and the name of the context, task or app that raised it."""

    def __init__(self, name: str, error: BaseException, text: str = "") -> None:
        self.name = name
        self.error = error
        self._text = text or f"{type(error).__name__}: {error}"

    @classmethod
    def reported(cls, name: str, error: BaseException, text: str) -> "Failure":
        """Return the failure that *name* has reported; *text* may name the part that failed."""
        report = _REPORT.fullmatch(text)
        return cls(report["name"], error, report["text"]) if report else cls(name, error, text)

    def __str__(self) -> str:
        return f"{self._text} (in {self.name})"

    def log(self, when: str) -> None:
        logger.error("%s failed in %s", when, self.name, exc_info=self.error)

    def exception(self) -> Exception:
        """Return the exception to raise to the server.

        ``SystemExit`` in a task would end the event loop at once, before anything is closed.
        ``CancelledError`` would look as if the server had cancelled us.
        """
        if isinstance(self.error, Exception):
            return self.error
        exception = RuntimeError(str(self))
        exception.__cause__ = self.error
        return exception


async def cancel(
    task: "asyncio.Task[Any]", name: str, *, ended: "asyncio.Future[Any] | None" = None
) -> None:
    """Cancel *task* and wait until it is done, or *ended* if given; abandon it if that fails."""
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
    # asyncio.run() waits for every registered task, however long that takes.
    # https://docs.python.org/3/library/asyncio-extending.html#task-lifetime-support
    asyncio.tasks._unregister_task(task)  # noqa: SLF001
