"""The lifespan of the app inside, if it has one, as a server would run it."""

import asyncio
import logging
from collections.abc import Callable

from ..types import ASGIApp, Message, Scope
from .contexts import name_of
from .failure import Failure
from .state import State
from .worker import PATIENCE, Deadline, cancel

logger = logging.getLogger(__name__)


class InnerLifespan:
    """Runs *app* with a lifespan scope in a task of its own, with *state* for it to fill.

    *died* is called when the app raises while it should be serving.
    """

    def __init__(
        self, app: ASGIApp, scope: Scope, state: State, died: Callable[[Failure], object]
    ) -> None:
        self.name = name_of(app)
        self.state = state
        self._app = app
        self._scope = scope
        self._died = died
        self._task: asyncio.Task[None] | None = None
        self._asked = ""  # what the app was last asked to do: "startup", "shutdown"
        self._answer: asyncio.Future[Message]
        self._error: BaseException | None = None
        self._shutdown = asyncio.Event()

    async def start(self, deadline: Deadline) -> Failure | None:
        """Start the app and wait for its verdict; return what went wrong.

        An app that raises before its first ``receive()``, as Django and Channels'
        ProtocolTypeRouter do, or returns without a verdict, knows no lifespan. That is
        no failure. https://asgi.readthedocs.io/en/latest/specs/lifespan.html#scope
        """
        self._answer = answer = asyncio.get_running_loop().create_future()
        self._task = task = asyncio.create_task(self._run(), name=f"lifespan of {self.name}")
        try:
            await asyncio.wait(
                {task, answer}, timeout=deadline.left(), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            late = not task.done() and not answer.done()
            if late:
                self._task = None
                await cancel(task, self.name)
        if late:
            return Failure(self.name, deadline.missed(self._error))
        if not answer.done():
            return self._without_verdict()
        if answer.result()["type"] == "lifespan.startup.failed":
            return await self._failed(task, answer.result())
        task.add_done_callback(self._ended)
        return None

    async def stop(self, deadline: Deadline) -> Failure | None:
        """Ask the app to stop, and wait for its end; return what went wrong."""
        task = self._task
        if task is None or task.done():
            return None
        task.remove_done_callback(self._ended)
        self._answer = answer = asyncio.get_running_loop().create_future()
        self._shutdown.set()
        try:
            await asyncio.wait(
                {task, answer},
                timeout=deadline.left(at_least=PATIENCE),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            late = not task.done() and not answer.done()
            if late:
                await cancel(task, self.name)
        if late:
            return Failure(self.name, deadline.missed(self._error))
        if answer.done():
            if answer.result()["type"] == "lifespan.shutdown.failed":
                return await self._failed(task, answer.result())
            await self._return(task)
        return None if self._error is None else Failure(self.name, self._error)

    async def _run(self) -> None:
        try:
            await self._app({**self._scope, "state": self.state}, self._receive, self._send)
        except BaseException as error:  # noqa: BLE001 -- SystemExit would end the event loop
            self._error = error

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = "startup"
        elif self._asked == "startup":
            await self._shutdown.wait()
            self._asked = "shutdown"
        else:
            await asyncio.get_running_loop().create_future()  # there is nothing after that
        return {"type": f"lifespan.{self._asked}"}

    async def _send(self, message: Message) -> None:
        expected = {f"lifespan.{self._asked}.complete", f"lifespan.{self._asked}.failed"}
        if message["type"] not in expected or self._answer.done():
            raise RuntimeError(f"{self.name} sent {message['type']}, and nothing had asked for it")
        self._answer.set_result(message)

    def _without_verdict(self) -> Failure | None:
        if self._error is None or (not self._asked and isinstance(self._error, Exception)):
            logger.debug("%s does not support lifespan", self.name, exc_info=self._error)
            return None
        return Failure(self.name, self._error)

    async def _failed(self, task: "asyncio.Task[None]", message: Message) -> Failure:
        """Return the failure that *message* tells of, with what the app then raised."""
        await self._return(task)
        # Starlette's text is a traceback, whose last line is what others send.
        text = str(message.get("message", "")).strip().rpartition("\n")[2]
        said = RuntimeError(text or message["type"])
        error = self._error if isinstance(self._error, Exception) else said
        return Failure(self.name, error, text)

    async def _return(self, task: "asyncio.Task[None]") -> None:
        """Wait for the app to return after its last word; if it does not, that is no error."""
        await asyncio.wait({task}, timeout=PATIENCE)
        if not task.done():
            await cancel(task, self.name)
            self._error = None

    def _ended(self, _: "asyncio.Task[None]") -> None:
        if self._error is not None and not isinstance(self._error, asyncio.CancelledError):
            self._died(Failure(self.name, self._error))
