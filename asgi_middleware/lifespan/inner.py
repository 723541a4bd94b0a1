"""The lifespan of the inner app, if it has one. To that app, we are the server."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

from .._names import name_of
from ..types import ASGIApp, Message, Scope
from .failure import Failure, cancel
from .state import State, state_of
from .timeouts import PATIENCE, Deadline

logger = logging.getLogger(__name__)

_UNSUPPORTED = (
    "%s does not support lifespan, and is served without it; to fail at startup on purpose, send"
    " lifespan.startup.failed"
)


class InnerLifespan:
    """Calls *app* with a lifespan scope, in a task of its own.

    *died* is called if the app fails between startup and shutdown.
    """

    def __init__(self, app: ASGIApp, scope: Scope, died: Callable[[Failure], object]) -> None:
        self.name = name_of(app)
        self._app = app
        self._scope = scope
        self._died = died
        self._given: State = {}
        self._state: State = {}
        self._task: asyncio.Task[None] | None = None
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        # The app's reports on startup and on shutdown, and whether it waits without reporting.
        self._startup, self._shutdown, self._ignores = (_future() for _ in range(3))
        self._error: BaseException | None = None
        self._interrupted = False

    async def start(self, state: State, deadline: Deadline) -> Failure | None:
        """Start the app with *state*, wait for its verdict, and return what went wrong.

        An app without lifespan support shows that in many ways: it raises, returns, sends another
        kind of message, or waits for its next message. Servers then serve it all the same, and so
        do we. Only ``lifespan.startup.failed``, an attempt to exit, and a missed deadline are
        failures.
        https://asgi.readthedocs.io/en/latest/specs/lifespan.html#scope
        """
        self._given = {**state_of(self._scope), **state}
        self._state = dict(self._given)
        self._messages.put_nowait({"type": "lifespan.startup"})
        self._task = task = asyncio.create_task(self._run(), name=f"lifespan of {self.name}")
        try:
            await _first(deadline.left(), task, self._startup, self._ignores)
            if self._ignores.done():
                await _first(PATIENCE, task, self._startup)
        finally:
            waits = not task.done() and not self._startup.done()
            if waits:
                self._task = None
                await cancel(task, self.name)
        if waits and not self._ignores.done():
            return Failure(self.name, deadline.missed(self._error))
        if not self._startup.done():
            if isinstance(self._error, SystemExit | KeyboardInterrupt):
                return Failure(self.name, self._error)
            logger.debug(_UNSUPPORTED, self.name, exc_info=self._error)
            return None
        if _has_failed(self._startup):
            await self._return(task)
            return self._reported(self._startup)
        task.add_done_callback(self._ended)
        return None

    def added(self) -> Mapping[str, Any]:
        """Return what the app has put into the state."""
        unchanged = self._given
        return {
            key: value
            for key, value in self._state.items()
            if key not in unchanged or value is not unchanged[key]
        }

    async def stop(self, deadline: Deadline) -> Failure | None:
        """Ask the app to stop, wait until it has, and return what went wrong."""
        task = self._task
        if task is None or task.done():
            return None
        task.remove_done_callback(self._ended)
        self._messages.put_nowait({"type": "lifespan.shutdown"})
        try:
            await _first(deadline.left(at_least=PATIENCE), task, self._shutdown)
        finally:
            late = not task.done() and not self._shutdown.done()
            if late:
                await cancel(task, self.name)
        if late:
            return Failure(self.name, deadline.missed(self._error))
        await self._return(task)
        return self._failure()

    async def _run(self) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        try:
            await self._app({**self._scope, "state": self._state}, self._receive, self._send)
        except BaseException as error:  # noqa: BLE001 -- SystemExit would end the event loop
            self._error = error
        self._interrupted = task.cancelling() > 0

    async def _receive(self) -> Message:
        """Return the next message.

        If our task waits here before the app has reported on startup, the app does not report at
        all. Other tasks of the app may read ahead.
        """
        is_waiting = self._messages.empty() and asyncio.current_task() is self._task
        if is_waiting and not self._startup.done() and not self._ignores.done():
            self._ignores.set_result({})
        return await self._messages.get()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("lifespan.startup.complete", "lifespan.startup.failed"):
            verdict, is_expected = self._startup, True
        elif kind in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            verdict, is_expected = self._shutdown, self._startup.done()
        else:
            raise RuntimeError(f"{self.name} sent {kind}, which is not a lifespan message")
        if verdict.done() or not is_expected:
            raise RuntimeError(f"{self.name} sent {kind} out of turn")
        verdict.set_result(message)

    def _failure(self) -> Failure | None:
        """Return what went wrong since startup. Being cancelled with the loop is not a failure."""
        if self._interrupted and isinstance(self._error, asyncio.CancelledError | None):
            return None
        if _has_failed(self._shutdown):
            return self._reported(self._shutdown)
        return None if self._error is None else Failure(self.name, self._error)

    def _reported(self, verdict: "asyncio.Future[Message]") -> Failure:
        """Return the failure that the app has reported, with the error that it raised, if any."""
        message = verdict.result()
        # Starlette sends a whole traceback; its last line is the message.
        text = str(message.get("message", "")).strip().rpartition("\n")[2]
        reported = RuntimeError(text or message["type"])
        error = self._error if isinstance(self._error, Exception) else reported
        return Failure.reported(self.name, error, text)

    async def _return(self, task: "asyncio.Task[None]") -> None:
        """Wait for the app to return after its last message. It is not an error if it does not."""
        await asyncio.wait({task}, timeout=PATIENCE)
        if not task.done():
            await cancel(task, self.name)
            self._error, self._interrupted = None, False

    def _ended(self, _: "asyncio.Task[None]") -> None:
        failure = self._failure()
        if failure:
            self._died(failure)


def _future() -> "asyncio.Future[Message]":
    return asyncio.get_running_loop().create_future()


def _has_failed(verdict: "asyncio.Future[Message]") -> bool:
    return verdict.done() and verdict.result()["type"].endswith(".failed")


async def _first(timeout: float, *futures: "asyncio.Future[Any]") -> None:
    """Wait until one of *futures* is done, or for *timeout* seconds."""
    await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
