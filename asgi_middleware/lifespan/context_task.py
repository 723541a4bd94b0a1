"""The task in which contexts are entered and exited."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from .failure import Failure, cancel
from .timeouts import PATIENCE, Deadline


class ContextTask:
    """A task that makes calls one after another.

    A context must be exited in the task that entered it: the task groups and cancel scopes of
    asyncio and anyio require that. You can also stop waiting for a task, but not for a coroutine
    that you await.

    ``interrupted`` is done once the task has been cancelled between two calls. An open task group
    does that when one of its tasks fails; the exit of the group then raises the error.
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
        """Await *call* in the task, and return the failure if it raises.

        The call is cancelled at the *deadline*, but it always has *at_least* that many seconds. If
        it keeps running, it keeps the task, and the next call gets a new task.
        """
        outcome: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()
        self._calls.put_nowait((call, outcome))
        try:
            await asyncio.wait({outcome}, timeout=deadline.left(at_least))
        finally:  # we may have been cancelled ourselves
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
                # anyio cancels on every turn of the loop until its scope is exited; the call that
                # exits it comes next.
                if not self.interrupted.done():
                    self.interrupted.set_result(None)
                continue
            if next_call is None:
                return
            call, outcome = next_call
            error: BaseException | None = None
            try:
                await call()
            except BaseException as raised:  # noqa: BLE001 -- returned by run()
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
