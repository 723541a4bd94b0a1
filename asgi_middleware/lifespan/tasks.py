"""Tasks that run for as long as the process serves."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from typing import Literal

from .._threads import own_thread
from .contexts import name_of
from .failure import Failure
from .worker import PATIENCE, Deadline, leave_behind

logger = logging.getLogger(__name__)

Restart = Literal["never", "on-failure", "always"]

# Seconds that a task has to come to its end before it is cancelled.
GRACE = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    function: Callable[[], Awaitable[object]]
    name: str
    restart: Restart
    backoff: tuple[float, float]
    critical: bool


class TaskSupervisor:
    """Starts tasks, keeps them, restarts them; ``state["tasks"]`` is one.

    They live from start-up to shutdown, whoever spawned them: a context, a view, a
    consumer. At the end each has a second to finish, unless it is to run always, is
    then cancelled, and awaited before anything closes.
    """

    def __init__(self, died: Callable[[str], object]) -> None:
        self._died = died
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[asyncio.Task[None], _Job] = {}
        self.stopping = False

    def spawn(
        self,
        fn: Callable[[], Awaitable[object]],
        name: str | None = None,
        restart: Restart = "on-failure",
        backoff: tuple[float, float] = (1.0, 60.0),
        critical: bool = False,
    ) -> None:
        """Run the async function *fn*, which takes no arguments, as a task.

        * ``name``: for logs; by default the function's.
        * ``restart``: ``"on-failure"`` when it raises, ``"always"`` also when it
          returns, ``"never"``.
        * ``backoff``: the first and the longest delay before a restart, in seconds. It
          doubles with each crash in a row, and is shortened at random by up to half.
        * ``critical``: a crash is final, and ``/readyz`` answers 503 from then on.

        Callable from any thread. The task has a context of its own: no request's ID,
        no request's thread. Each attempt has a thread for its sync code, and database
        connections, which end with it. Raises ValueError for options that cannot work,
        and RuntimeError at shutdown.
        """
        if restart not in ("never", "on-failure", "always"):
            raise ValueError(f"restart: {restart!r}; write 'never', 'on-failure' or 'always'")
        if not 0 < backoff[0] <= backoff[1]:
            raise ValueError(f"backoff: {backoff!r}; write a shortest and a longest delay")
        if self.stopping:
            raise RuntimeError(f"{name or name_of(fn)} is not started: the process shuts down")
        job = _Job(fn, name or name_of(fn), restart, backoff, critical)
        try:
            here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if here:
            self._start(job)
        else:
            self._loop.call_soon_threadsafe(self._start, job)

    async def stop(self, deadline: Deadline) -> Failure | None:
        """Wait for the end of all tasks, and hasten it."""
        self.stopping = True
        finishing = [task for task, job in self._tasks.items() if job.restart != "always"]
        try:
            if finishing:
                await asyncio.wait(finishing, timeout=min(GRACE, deadline.left()))
        finally:
            failure = await self._cancel(deadline)
        return failure

    async def _cancel(self, deadline: Deadline) -> Failure | None:
        tasks = dict(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=deadline.left(at_least=PATIENCE))
        stuck = {task: job.name for task, job in tasks.items() if not task.done()}
        for task, name in stuck.items():
            leave_behind(task, name)
        return Failure(", ".join(stuck.values()), deadline.missed()) if stuck else None

    def _start(self, job: _Job) -> None:
        if self.stopping:
            logger.warning("the task %s is not started: the process shuts down", job.name)
            return
        task = self._loop.create_task(self._supervised(job), name=job.name, context=Context())
        self._tasks[task] = job
        task.add_done_callback(self._tasks.pop)

    async def _supervised(self, job: _Job) -> None:
        crashes = 0
        while not self.stopping:
            started = time.monotonic()
            try:
                async with own_thread(f"task {job.name}"):
                    await job.function()
            except (Exception, SystemExit, asyncio.CancelledError) as error:
                if isinstance(error, asyncio.CancelledError) and _is_being_cancelled():
                    raise
                if time.monotonic() - started > job.backoff[1]:
                    crashes = 0  # it has been well in between
                crashes += 1
                if not self._survives(job, crashes, error):
                    return
            else:
                if job.restart != "always" or self.stopping:
                    return
                crashes = 0
            await asyncio.sleep(_delay(job.backoff, crashes))

    def _survives(self, job: _Job, crashes: int, error: BaseException) -> bool:
        """Log the crash, and tell whether the task is restarted."""
        again = job.restart != "never" and not job.critical and not self.stopping
        what = "is restarted" if again else "stays down"
        message = "the task %s crashed, number %d in a row; it %s"
        logger.error(message, job.name, crashes, what, exc_info=error)
        if job.critical:
            self._died(job.name)
        return again


def _is_being_cancelled() -> bool:
    """Tell a cancellation of this task from one that its function made up itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _delay(backoff: tuple[float, float], crashes: int) -> float:
    shortest, longest = backoff
    # The power is bounded: a float has no room for 2 ** 2000.
    delay = min(longest, shortest * 2.0 ** min(max(crashes - 1, 0), 60))
    return delay * random.uniform(0.5, 1)  # noqa: S311 -- no secret, only spread
