"""A cycle that a request or a probe starts, because the server signals no startup."""

import asyncio
import math
import time
from collections.abc import Callable
from contextvars import Context

from ..types import ASGIApp
from .cycle import Cycle, CycleOptions

# Seconds before a failed startup is tried again: doubled each time.
_FIRST_RETRY, _LAST_RETRY = 1.0, 60.0

# Without "state": each request gets it from us.
SCOPE = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}


class UnaskedCycle(Cycle):
    """Serves until the event loop ends. *previous* is the cycle that failed before this one."""

    def __init__(self, app: ASGIApp, options: CycleOptions, previous: Cycle | None) -> None:
        super().__init__(app, SCOPE, options)
        self.attempt: int = previous.attempt + 1 if isinstance(previous, UnaskedCycle) else 1
        self._retry_at: float | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def retry_is_due(self) -> bool:
        """Tell whether startup has failed and should be tried again."""
        return self._retry_at is not None and time.monotonic() >= self._retry_at

    @property
    def retry_after(self) -> int:
        """Return the seconds that a client should wait, for ``Retry-After``."""
        return max(1, math.ceil((self._retry_at or 0.0) - time.monotonic()))

    def begin(self, ended: Callable[[], object]) -> None:
        """Start, in a task. *ended* is called at the end of a cycle that has served."""
        # A task and a context of its own: the client that came first may leave, and the ID of its
        # request has no business here. Kept, because the loop itself does not keep tasks.
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._live(loop, ended), context=Context())

    async def _live(self, loop: asyncio.AbstractEventLoop, ended: Callable[[], object]) -> None:
        failure = await self.start()
        if failure:
            delay = min(_LAST_RETRY, _FIRST_RETRY * 2 ** min(self.attempt - 1, 10))
            self._retry_at = time.monotonic() + delay
            return
        try:
            await self.serve(loop.create_future())
        finally:
            ended()
