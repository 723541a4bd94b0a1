"""The task in which contexts are entered and exited, and how its patience ends."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from .failure import Failure

logger = logging.getLogger(__name__)

# Seconds that a part has once time is up: to exit, and to heed a cancellation.
PATIENCE = 1.0


class Deadline:
    """The end of the time that start-up, or shutdown, has as a whole."""

    def __init__(self, what: str, seconds: float) -> None:
        self._what = what
        self._seconds = seconds
        self._at = time.monotonic() + seconds

    def left(self, at_least: float = 0.0) -> float:
        return max(self._at - time.monotonic(), at_least)

    def missed(self, cause: BaseException | None = None) -> TimeoutError:
        """Return the error of whoever was at work; *cause* shows where it was waiting."""
        error = TimeoutError(f"{self._what} took more than {self._seconds:g} s")
        error.__cause__ = cause
        return error


class WorkerTask:
    """A task that makes calls in turn.

    What is entered in a task has to be exited there: task groups and cancel scopes of
    asyncio and anyio insist. And who waits for a task can stop waiting, which who
    awaits a coroutine cannot.

    ``interrupted`` is done once the task was cancelled between two calls. A task group
    that is open does that when one of its tasks has failed, and its exit tells why.
    """

    def __init__(self) -> None:
        self.interrupted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begin()

    async def run(
        self,
        name: str,
        call: Callable[[], Awaitable[object]],
        deadline: Deadline,
        at_least: float = 0.0,
    ) -> Failure | None:
        """Await *call* in the task, and return what it raised.

        It has until *deadline*, or *at_least* so many seconds, and is then cancelled. If
        it goes on regardless it keeps the task, and the next call has a new one.
        """
        outcome: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self._calls.put_nowait((call, outcome))
        try:
            await asyncio.wait({outcome}, timeout=deadline.left(at_least))
        finally:  # time is up, or we are cancelled ourselves
            late = not outcome.done()
            if late:
                await self._interrupt(name, outcome)
        error = outcome.result() if outcome.done() else None
        if late:
            error = deadline.missed(error)
        return None if error is None else Failure(name, error)

    async def end(self) -> None:
        self._calls.put_nowait(None)
        await asyncio.wait({self._task}, timeout=PATIENCE)

    def _begin(self) -> None:
        self._calls: asyncio.Queue[Any] = asyncio.Queue()
        self._task = asyncio.create_task(self._work(self._calls), name="lifespan")

    async def _work(self, calls: "asyncio.Queue[Any]") -> None:
        while True:
            try:
                next_call = await calls.get()
            except asyncio.CancelledError:
                # anyio goes on cancelling, at each turn of the loop, until its scope has
                # been exited; that call is on its way.
                if not self.interrupted.done():
                    self.interrupted.set_result(None)
                continue
            if next_call is None:
                return
            call, outcome = next_call
            error: BaseException | None = None
            try:
                await call()
            except BaseException as raised:  # noqa: BLE001 -- given to whoever waits for it
                error = raised
            outcome.set_result(error)

    async def _interrupt(self, name: str, outcome: "asyncio.Future[Any]") -> None:
        try:
            await cancel(self._task, name, ended=outcome)
        finally:
            if outcome.done():
                self._task.uncancel()
            else:
                self._calls.put_nowait(None)
                self._begin()


async def cancel(
    task: "asyncio.Task[Any]", name: str, *, ended: "asyncio.Future[Any] | None" = None
) -> None:
    """Cancel *task* and wait until it, or *ended*, is done; leave it behind if it goes on."""
    ended = ended or task
    task.cancel()
    try:
        await asyncio.wait({ended}, timeout=PATIENCE)
    finally:
        if not ended.done():
            leave_behind(task, name)


def leave_behind(task: "asyncio.Task[Any]", name: str) -> None:
    """Give up on a task that ignores cancellation, so that nothing waits for it."""
    logger.error("%s goes on though it was cancelled; it is left behind", name)
    # asyncio.run() awaits every task that asyncio knows of, however long it takes.
    # https://docs.python.org/3/library/asyncio-extending.html#task-lifetime-support
    asyncio.tasks._unregister_task(task)  # noqa: SLF001
