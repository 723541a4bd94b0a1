"""The lifespan of the app inside, if it has one: towards that app, we are the server."""

import asyncio
import logging
from collections.abc import Callable

from .._names import qualified_name
from ..types import ASGIApp, Message, Scope
from .cancellation import cancel
from .deadline import PATIENCE, Deadline
from .failure import Failure
from .state import State

logger = logging.getLogger(__name__)


class InnerLifespan:
    """Runs *app* with a lifespan scope in a task of its own, with *state* for it to fill.

    *died* is called if the app raises while it should be serving.
    """

    def __init__(
        self, app: ASGIApp, scope: Scope, state: State, died: Callable[[Failure], object]
    ) -> None:
        self.name = qualified_name(app)
        self.state = state
        self._app = app
        self._scope = scope
        self._died = died
        self._task: asyncio.Task[None] | None = None
        self._phase = ""  # what the app was last asked for: "startup", "shutdown"
        self._verdict: asyncio.Future[Message]
        self._error: BaseException | None = None
        self._shutdown = asyncio.Event()

    async def start(self, deadline: Deadline) -> Failure | None:
        """Start the app, wait for its verdict, and return what went wrong.

        An app does not support lifespan if it raises before its first ``receive()``, as Django and
        Channels' ProtocolTypeRouter do, or returns without a verdict. That is not a failure.
        https://asgi.readthedocs.io/en/latest/specs/lifespan.html#scope
        """
        self._verdict = verdict = asyncio.get_running_loop().create_future()
        self._task = task = asyncio.create_task(self._run(), name=f"lifespan of {self.name}")
        try:
            await asyncio.wait(
                {task, verdict}, timeout=deadline.left(), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            late = not task.done() and not verdict.done()
            if late:
                self._task = None
                await cancel(task, self.name)
        if late:
            return Failure(self.name, deadline.missed(self._error))
        if not verdict.done():
            return self._without_verdict()
        if verdict.result()["type"] == "lifespan.startup.failed":
            return await self._failed(task, verdict.result())
        task.add_done_callback(self._ended)
        return None

    async def stop(self, deadline: Deadline) -> Failure | None:
        """Ask the app to stop, wait for its end, and return what went wrong."""
        task = self._task
        if task is None or task.done():
            return None
        task.remove_done_callback(self._ended)
        self._verdict = verdict = asyncio.get_running_loop().create_future()
        self._shutdown.set()
        try:
            await asyncio.wait(
                {task, verdict},
                timeout=deadline.left(at_least=PATIENCE),
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            late = not task.done() and not verdict.done()
            if late:
                await cancel(task, self.name)
        if late:
            return Failure(self.name, deadline.missed(self._error))
        if verdict.done():
            if verdict.result()["type"] == "lifespan.shutdown.failed":
                return await self._failed(task, verdict.result())
            await self._return(task)
        return None if self._error is None else Failure(self.name, self._error)

    async def _run(self) -> None:
        try:
            await self._app({**self._scope, "state": self.state}, self._receive, self._send)
        except BaseException as error:  # noqa: BLE001 -- SystemExit would end the event loop
            self._error = error

    async def _receive(self) -> Message:
        if not self._phase:
            self._phase = "startup"
        elif self._phase == "startup":
            await self._shutdown.wait()
            self._phase = "shutdown"
        else:
            await asyncio.get_running_loop().create_future()  # nothing comes after shutdown
        return {"type": f"lifespan.{self._phase}"}

    async def _send(self, message: Message) -> None:
        expected = {f"lifespan.{self._phase}.complete", f"lifespan.{self._phase}.failed"}
        if message["type"] not in expected or self._verdict.done():
            raise RuntimeError(f"{self.name} sent {message['type']}, which nothing had asked for")
        self._verdict.set_result(message)

    def _without_verdict(self) -> Failure | None:
        if self._error is None or (not self._phase and isinstance(self._error, Exception)):
            logger.debug("%s does not support lifespan", self.name, exc_info=self._error)
            return None
        return Failure(self.name, self._error)

    async def _failed(self, task: "asyncio.Task[None]", message: Message) -> Failure:
        """Return the failure that *message* reports, with the error that the app then raised."""
        await self._return(task)
        # Starlette sends a traceback. Its last line is the message that others send.
        text = str(message.get("message", "")).strip().rpartition("\n")[2]
        reported = RuntimeError(text or message["type"])
        error = self._error if isinstance(self._error, Exception) else reported
        return Failure(self.name, error, text)

    async def _return(self, task: "asyncio.Task[None]") -> None:
        """Wait for the app to return after its last message; if it does not, that is no error."""
        await asyncio.wait({task}, timeout=PATIENCE)
        if not task.done():
            await cancel(task, self.name)
            self._error = None

    def _ended(self, _: "asyncio.Task[None]") -> None:
        if self._error is not None and not isinstance(self._error, asyncio.CancelledError):
            self._died(Failure(self.name, self._error))
