"""One life of the app, from startup to shutdown: what it opens, serves and closes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from .._names import qualified_name
from ..readiness import Readiness
from ..types import ASGIApp, Receive, Scope, Send
from .connections import InFlight, serve_http, serve_websocket
from .context_task import ContextTask
from .contexts import ContextFactory, new_context
from .deadline import PATIENCE, Deadline
from .drain import Countdown, Drain
from .failure import Failure
from .inner import InnerLifespan
from .state import RESERVED, State, merge, state_of
from .tasks import TaskSupervisor

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleOptions:
    """What all cycles of an app have in common."""

    lifespan: tuple[ContextFactory, ...]
    startup_timeout: float
    shutdown_timeout: float
    readiness: Readiness
    drain: Drain | None
    max_requests: int | None
    max_requests_jitter: int


class Cycle:
    """Starts, serves and stops once, and owns everything that runs for that long.

    Startup enters the contexts in order, then starts the app's own lifespan. Shutdown goes the
    other way round: requests in flight, tasks, the app, the contexts.

    ``settled`` is set when startup is over, and ``serving`` then tells how it went.
    """

    def __init__(self, app: ASGIApp, scope: Scope, options: CycleOptions) -> None:
        self.settled = asyncio.Event()
        self._app = app
        self._options = options
        self._readiness = options.readiness
        self._countdown = options.drain and Countdown(
            options.drain,
            options.readiness,
            options.max_requests,
            options.max_requests_jitter,
        )
        self._open = False
        self._in_flight = InFlight()
        self._context_task: ContextTask
        self._exits: list[tuple[str, Callable[[], Awaitable[object]]]] = []
        # A cycle around this one shares its tasks: they end before either closes anything.
        shared: Any = state_of(scope).get("tasks")
        self._owns_tasks = not isinstance(shared, TaskSupervisor) or shared.stopping
        self._tasks: TaskSupervisor
        self._tasks = TaskSupervisor(self._task_died) if self._owns_tasks else shared
        self.state: State = {"tasks": self._tasks}
        self._owners = dict(RESERVED)
        self._inner = InnerLifespan(app, scope, self._inner_died)

    @property
    def serving(self) -> bool:
        """Tell whether requests reach the app: from startup until shutdown or the drain's end."""
        return self._open and not (self._countdown and self._countdown.over)

    async def start(self) -> Failure | None:
        """Open everything. If something fails, close what was open by then and return it."""
        self._readiness.starting(self._tasks)
        self._context_task = ContextTask()
        deadline = Deadline("startup", self._options.startup_timeout)
        failure = None
        try:
            failure = await self._enter_all(deadline)
            self._open = failure is None
        finally:
            try:
                if not self._open:
                    await self._give_up(failure, deadline)
            finally:
                self.settled.set()
        if self._open:
            self._readiness.started()
            if self._countdown:
                self._countdown.listen()
        return failure

    async def serve(self, until: Awaitable[object]) -> Failure | None:
        """Serve until *until* is done, then close everything and return what failed.

        Raises what *until* raises, after that. If the task group of a context fails, everything is
        closed at once, because the tasks that it cancels cannot wait.
        """
        end: asyncio.Future[Any] = asyncio.ensure_future(until)
        try:
            await asyncio.wait(
                {end, self._context_task.interrupted}, return_when=asyncio.FIRST_COMPLETED
            )
        except asyncio.CancelledError:
            end.cancel()
            await self._stop()
            raise
        if not end.done():
            logger.error("a task group of a context has failed; everything is closed now")
        failure = await self._stop()
        await end
        return failure

    async def call_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app for a request or a WebSocket, with our state in its scope.

        Most servers have copied it there, unless something in between has lost it.
        """
        given = state_of(scope)
        if not self.state.keys() <= given.keys():
            scope = {**scope, "state": {**self.state, **given}}
        if self._countdown:
            serve = serve_http if scope["type"] == "http" else serve_websocket
            with self._in_flight:
                await serve(self._app, scope, receive, send, self._countdown)
        elif scope["type"] == "http":
            with self._in_flight:
                await self._app(scope, receive, send)
        else:  # not counted: nothing would end it, and shutdown would wait for nothing
            await self._app(scope, receive, send)

    async def _enter_all(self, deadline: Deadline) -> Failure | None:
        for factory in self._options.lifespan:
            entering = partial(self._enter, factory)
            failure = await self._context_task.run(qualified_name(factory), entering, deadline)
            if failure:
                return failure
        failure = await self._inner.start(self.state, deadline)
        if failure:
            return failure
        try:
            merge(self.state, self._owners, self._inner.added(), source=self._inner.name)
        except ValueError as conflict:
            return Failure(self._inner.name, conflict)
        return None

    async def _enter(self, factory: ContextFactory) -> None:
        name = qualified_name(factory)
        context = new_context(factory, self.state)
        yielded: object = await context.__aenter__()
        # Noted here, because the caller may have stopped waiting.
        self._exits.append((name, partial(context.__aexit__, None, None, None)))
        if isinstance(yielded, Mapping):
            merge(self.state, self._owners, cast("Mapping[str, object]", yielded), source=name)

    async def _give_up(self, failure: Failure | None, deadline: Deadline) -> None:
        self._readiness.ended("startup failed", self._tasks)
        if failure:
            failure.log("startup")
        await self._close_all(deadline)

    async def _stop(self) -> Failure | None:
        self._open = False
        self._readiness.ended("shutting down", self._tasks)
        deadline = Deadline("shutdown", self._options.shutdown_timeout)
        if self._countdown:
            self._countdown.shut_down()
        try:
            await self._in_flight.ended(deadline)
        finally:
            failure = await self._close_all(deadline)
        return failure

    async def _close_all(self, deadline: Deadline) -> Failure | None:
        """Close everything, whatever fails on the way, and return the first failure."""
        steps: list[Callable[[], Awaitable[Failure | None]]] = [
            partial(self._inner.stop, deadline),
            *(
                partial(self._context_task.run, name, leave, deadline, at_least=PATIENCE)
                for name, leave in reversed(self._exits)
            ),
        ]
        if self._owns_tasks:
            steps.insert(0, partial(self._tasks.stop, deadline))
        failures: list[Failure] = []
        cancelled: asyncio.CancelledError | None = None
        for step in steps:
            try:
                failure = await step()
            except asyncio.CancelledError as error:
                cancelled = error  # the other steps are still taken
                continue
            if failure:
                failure.log("shutdown")
                failures.append(failure)
        await self._context_task.end()
        if self._countdown:
            self._countdown.close()
        if cancelled:
            raise cancelled
        return failures[0] if failures else None

    def _task_died(self, name: str) -> None:
        self._readiness.withdraw(f"the task {name} has crashed")

    def _inner_died(self, failure: Failure) -> None:
        failure.log("serving")
        self._readiness.withdraw(f"{failure.name} has failed")
