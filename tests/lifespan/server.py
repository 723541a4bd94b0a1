"""A server's side of the lifespan protocol, and contexts that log what they do."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from types import FrameType
from typing import Any

from asgi_middleware.lifespan.contexts import ContextFactory
from asgi_middleware.types import ASGIApp, Message

# In seconds. Only a failing test waits that long.
PATIENCE = 30.0
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
COMPLETE = {"type": "lifespan.startup.complete"}
STOPPED = {"type": "lifespan.shutdown.complete"}


def start_failed(message: str) -> dict[str, str]:
    return {"type": "lifespan.startup.failed", "message": message}


def stop_failed(message: str) -> dict[str, str]:
    return {"type": "lifespan.shutdown.failed", "message": message}


class Handler:
    """A server's signal handler, which records the signals that it gets."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.heard.append(number)


class Server:
    """Sends an app the two messages of a lifespan, in a task, and keeps what the app sends.

    Without a *state* it offers none, like Daphne. *refuses* maps the type of a message to the
    error that ``send`` raises for it, like hypercorn's.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        state: dict[str, Any] | None = None,
        refuses: Mapping[str, Exception] | None = None,
    ) -> None:
        self.sent: list[Message] = []
        self.state = state
        self._refuses = refuses or {}
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._answered = asyncio.Event()
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
        if state is not None:
            scope["state"] = state
        self.task = asyncio.ensure_future(app(scope, self._messages.get, self._send))
        # Retrieve the exception; otherwise asyncio logs that nobody has.
        self.task.add_done_callback(lambda task: task.cancelled() or task.exception())

    async def start(self) -> Message | None:
        return await self._ask("startup")

    async def stop(self) -> Message | None:
        """Return the app's message, once the app has ended."""
        answer = await self._ask("shutdown")
        await self.end()
        return answer

    async def end(self) -> BaseException | None:
        """Wait for the end of the app, and return what it raised."""
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait({self.task})
        if self.task.cancelled():
            return asyncio.CancelledError()
        return self.task.exception()

    async def cancel(self) -> BaseException | None:
        self.task.cancel()
        return await self.end()

    async def _ask(self, when: str) -> Message | None:
        """Return the app's message, None if the app ends without one."""
        self._answered.clear()
        self._messages.put_nowait({"type": f"lifespan.{when}"})
        answered = asyncio.ensure_future(self._answered.wait())
        await asyncio.wait(
            {answered, self.task}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED
        )
        answered.cancel()
        return self.sent[-1] if self._answered.is_set() else None

    async def _send(self, message: Message) -> None:
        self.sent.append(message)
        self._answered.set()
        if message["type"] in self._refuses:
            raise self._refuses[message["type"]]


def context(
    name: str,
    log: list[str] | None = None,
    *,
    yields: Mapping[str, object] | None = None,
    enter: BaseException | Callable[[], Awaitable[object]] | None = None,
    exit: BaseException | Callable[[], Awaitable[object]] | None = None,  # noqa: A002
) -> ContextFactory:
    """Return a factory that logs ``+name`` and ``-name``, and then raises or awaits."""
    log = [] if log is None else log

    async def act(what: BaseException | Callable[[], Awaitable[object]] | None) -> None:
        if isinstance(what, BaseException):
            raise what
        if what is not None:
            await what()

    @asynccontextmanager
    async def made(state: dict[str, Any]) -> AsyncGenerator[object]:
        log.append(f"+{name}")
        await act(enter)
        yield yields
        log.append(f"-{name}")
        await act(exit)

    made.__qualname__ = name
    return made


async def forever(*_: object) -> Any:
    """Wait forever, as a task or as a server's receive or send."""
    await asyncio.get_running_loop().create_future()


class Stubborn:
    """Keeps running until :meth:`end`, however often it is cancelled."""

    def __init__(self) -> None:
        self.cancellations = 0
        self.task: asyncio.Task[object] | None = None
        self._release = asyncio.Event()

    async def __call__(self) -> None:
        self.task = asyncio.current_task()
        while not self._release.is_set():
            try:
                await self._release.wait()
            except asyncio.CancelledError:
                self.cancellations += 1

    async def end(self) -> None:
        """Let its task end; otherwise it would be collected, with a warning, in another test."""
        self._release.set()
        assert self.task is not None
        await asyncio.wait_for(self.task, PATIENCE)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop run until *condition* holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 -- of whatever is tested
            await asyncio.sleep(0.001)


@asynccontextmanager
async def running(server: Server) -> AsyncGenerator[Server]:
    """Start the server, and shut it down after the block unless that has happened already."""
    assert await server.start() == COMPLETE
    try:
        yield server
    finally:
        if not server.task.done():
            with suppress(TimeoutError):
                await server.stop()
        server.task.cancel()
