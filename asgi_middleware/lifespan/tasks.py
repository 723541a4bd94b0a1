"""Tasks that run for as long as the process serves."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context
from dataclasses import dataclass
from types import CoroutineType
from typing import Literal

from .. import _options as options
from .._names import qualified_name
from .._threads import own_thread
from .failure import Failure, abandon
from .state import State, current_state
from .timeouts import PATIENCE, Deadline

logger = logging.getLogger(__name__)

Restart = Literal["never", "on-failure", "always"]

# Seconds that a task has to finish before it is cancelled.
GRACE = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """The arguments of one :meth:`TaskSupervisor.spawn`."""

    function: Callable[[], Awaitable[object]]
    name: str
    restart: Restart
    backoff: tuple[float, float]
    critical: bool


class TaskSupervisor:
    """Starts background tasks, and restarts those that crash. ``get_tasks()`` returns it.

        get_tasks().spawn(send_receipt, restart="never")

    Tasks can run until shutdown, whether a context, a view or a consumer has spawned them. Shutdown
    gives each a second to finish, except tasks with ``restart="always"``. Then it cancels the tasks
    that still run, and waits for them before anything is closed.
    """

    def __init__(self, died: Callable[[str], object], state: State) -> None:
        self._died = died
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._tasks: dict[asyncio.Task[None], Job] = {}
        self.stopping = False

    def __repr__(self) -> str:
        names = ", ".join(job.name for job in list(self._tasks.values()))
        return f"<TaskSupervisor: {names or 'no tasks'}>"

    def spawn(
        self,
        fn: Callable[[], Awaitable[object]],
        name: str | None = None,
        restart: Restart = "on-failure",
        backoff: tuple[float, float] = (1.0, 60.0),
        critical: bool = False,
    ) -> None:
        """Run the async function *fn*, which takes no arguments, as a task.

        * ``name``: for logs; by default the name of the function.
        * ``restart``: ``"on-failure"`` restarts it if it raises, ``"always"`` also if it returns,
          ``"never"`` in neither case.
        * ``backoff``: the first and the longest delay before a restart, in seconds. The delay
          doubles with each crash in a row, and is shortened at random by up to half.
        * ``critical``: the first crash is final, and ``/readyz`` returns 503 from then on.

        You can call ``spawn`` from any thread. The task has a context of its own, without the ID or
        the thread of a request. In it, ``get_state()`` returns what startup has opened. Each
        attempt has its own thread for sync code and database connections; they end with it.

        Raises ValueError for options that cannot work, and RuntimeError once shutdown has begun.
        """
        problems = [
            *_function("fn", fn),
            *options.choice("restart", restart, ("never", "on-failure", "always")),
            *_delays("backoff", backoff),
        ]
        if problems:
            raise ValueError("\n".join(problems))
        self.accept(Job(fn, name or qualified_name(fn), restart, backoff, critical))

    def accept(self, job: Job) -> None:
        """Start *job* on the event loop of the process."""
        if self.stopping:
            raise RuntimeError(_too_late(job))
        try:
            is_on_loop = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_on_loop = False
        if is_on_loop:
            self._start(job)
        else:
            self._loop.call_soon_threadsafe(self._start, job)

    async def stop(self, deadline: Deadline) -> Failure | None:
        """Give the tasks a moment to finish, then cancel them and wait until they have ended."""
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
            abandon(task, name)
        return Failure(", ".join(stuck.values()), deadline.missed()) if stuck else None

    def _start(self, job: Job) -> None:
        if self.stopping:
            logger.warning(_too_late(job))
            return
        context = Context()
        context.run(current_state.set, self._state)
        task = self._loop.create_task(self._supervised(job), name=job.name, context=context)
        self._tasks[task] = job
        task.add_done_callback(self._tasks.pop)

    async def _supervised(self, job: Job) -> None:
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
                    crashes = 0  # it ran for long enough in between
                crashes += 1
                if not self._restarts(job, crashes, error):
                    return
            else:
                if job.restart != "always" or self.stopping:
                    return
                crashes = 0
            await asyncio.sleep(_delay(job.backoff, crashes))

    def _restarts(self, job: Job, crashes: int, error: BaseException) -> bool:
        """Log the crash, and tell whether the task is restarted."""
        again = job.restart != "never" and not job.critical and not self.stopping
        what = "is restarted" if again else "stays down"
        message = "the task %s crashed (%d in a row); it %s"
        logger.error(message, job.name, crashes, what, exc_info=error)
        if job.critical:
            self._died(job.name)
        return again


def _function(option: str, value: object) -> Iterator[str]:
    if isinstance(value, CoroutineType):
        value.close()  # otherwise Python warns that it was never awaited
        yield f"{option}: {value.__name__}() was called already; use {value.__name__}"
    elif not callable(value):
        yield f"{option}: {options.shown(value)} cannot be called; use an async function"


def _delays(option: str, value: tuple[float, float]) -> Iterator[str]:
    if not 0 < value[0] <= value[1]:
        yield f"{option}: {value!r} is not a valid first and longest delay; use (1.0, 60.0)"


def _too_late(job: Job) -> str:
    return f"the task {job.name} is not started because the process is shutting down"


def _is_being_cancelled() -> bool:
    """Tell whether this task is being cancelled; its function may also raise CancelledError."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _delay(backoff: tuple[float, float], crashes: int) -> float:
    shortest, longest = backoff
    # The exponent is bounded because a float cannot hold 2 ** 2000.
    delay = min(longest, shortest * 2.0 ** min(max(crashes - 1, 0), 60))
    return delay * random.uniform(0.5, 1)  # noqa: S311 -- spreads load, guards no secret
