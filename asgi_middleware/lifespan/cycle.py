"""One life of the app, from startup to shutdown: what it opens, serves and closes."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from .._names import qualified_name
from ..readiness import Readiness
from ..types import ASGIApp, Receive, Scope, Send
from .connections import InFlight, serve_http, serve_websocket
from .context_task import ContextTask
from .contexts import ContextFactory, new_context
from .drain import Countdown, Drain
from .failure import Failure
from .inner import InnerLifespan
from .state import RESERVED, State, as_current, current_state, merge, restore, state_of
from .tasks import TaskSupervisor
from .timeouts import PATIENCE, Deadline

logger = logging.getLogger(__name__)

# Seconds before a failed startup is retried. The delay doubles from the first to the last.
_FIRST_RETRY, _LAST_RETRY = 1.0, 60.0

# Without "state", which we add to each request ourselves.
SCOPE = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleOptions:
    """The options that all cycles of an app share."""

    lifespan: tuple[ContextFactory, ...]
    startup_timeout: float
    shutdown_timeout: float
    readiness: Readiness
    drain: Drain | None
    max_requests: int | None
    max_requests_jitter: int


class Cycle:
    """Starts, serves and stops once, and owns everything that runs for that long.

    Startup enters the contexts in order, then starts the app's own lifespan. Shutdown waits for
    requests in flight, stops the tasks, then the app, and exits the contexts in reverse order.

    ``settled`` is set when startup is over; ``serving`` then tells whether it succeeded.
    """

    def __init__(self, app: ASGIApp, scope: Scope, options: CycleOptions) -> None:
        self.settled = asyncio.Event()
        self._app = app
        self._options = options
        self._readiness = options.readiness
        self._scope = scope
        self._countdown: Countdown | None = None
        self._open = False
        self._in_flight = InFlight()
        self._context_task: ContextTask
        self._exits: list[tuple[str, Callable[[], Awaitable[object]]]] = []
        # An outer cycle shares its supervisor, so that all tasks end before either closes anything.
        shared: Any = state_of(scope).get("tasks")
        self._owns_tasks = not isinstance(shared, TaskSupervisor) or shared.stopping
        self.state: State = {}
        self._tasks: TaskSupervisor
        self._tasks = TaskSupervisor(self._task_died, self.state) if self._owns_tasks else shared
        self.state["tasks"] = self._tasks
        self._owners = dict(RESERVED)
        self._inner = InnerLifespan(app, scope, self._inner_died)

    @property
    def serving(self) -> bool:
        """Tell whether requests reach the app: from startup until shutdown or the drain's end."""
        return self._open and not (self._countdown and self._countdown.over)

    async def start(self) -> Failure | None:
        """Open everything. After a failure, close what is already open and return the failure."""
        self._readiness.starting(self._tasks)
        deadline = Deadline("startup", self._options.startup_timeout)
        failure = None
        try:
            # The tasks of the contexts and of the app's own lifespan are created here, and inherit
            # the current state.
            with as_current(self.state):
                self._context_task = ContextTask()
                failure = await self._open_all(deadline)
            self._open = failure is None
        finally:
            try:
                if not self._open:
                    await self._give_up(failure, deadline)
            finally:
                self.settled.set()
        if self._open:
            self._readiness.started()
        return failure

    async def serve(self, until: Awaitable[object]) -> Failure | None:
        """Serve until *until* is done, then close everything and return the first failure.

        After that, raises what *until* raises. Two events close everything earlier:

        * The task group of a context fails: the tasks that it cancels cannot wait.
        * The drain has ended every connection: the server may still wait for a client that does
          not read, until it is killed.
        """
        end: asyncio.Future[Any] = asyncio.ensure_future(until)
        interrupted = self._context_task.interrupted
        drained = asyncio.ensure_future(self._countdown.drained()) if self._countdown else end
        try:
            await asyncio.wait({end, interrupted, drained}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            end.cancel()
            await self._stop()
            raise
        finally:
            if drained is not end:
                drained.cancel()
        if interrupted.done() and not end.done():
            logger.error("the task group of a context has failed; everything is closed now")
        failure = await self._stop()
        await end
        return failure

    async def call_app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app for a request or a WebSocket, with our state in its scope.

        Most servers have already copied it there, but something in between may have lost it.
        """
        state = state_of(scope)
        if not self.state.keys() <= state.keys():
            state = {**self.state, **state}
            scope = {**scope, "state": state}
        token = current_state.set(state)
        try:
            if self._countdown:
                serve = serve_http if scope["type"] == "http" else serve_websocket
                with self._in_flight:
                    await serve(self._app, scope, receive, send, self._countdown)
            elif scope["type"] == "http":
                with self._in_flight:
                    await self._app(scope, receive, send)
            else:  # not counted: nothing would end it, and shutdown would wait for it
                await self._app(scope, receive, send)
        finally:
            restore(token)

    async def _open_all(self, deadline: Deadline) -> Failure | None:
        """Do everything that startup does, and return the failure, if any."""
        options = self._options
        if options.drain:
            self._countdown = Countdown(
                options.drain,
                self._readiness,
                options.max_requests,
                options.max_requests_jitter,
            )
        failure = await self._enter_all(deadline)
        if failure:
            return failure
        try:
            # The only scope that an app may change in place: the server gives each request a copy.
            # https://asgi.readthedocs.io/en/latest/specs/lifespan.html#lifespan-state
            state_of(self._scope).update(self.state)
            if self._countdown:
                self._countdown.listen()
        except Exception as error:  # noqa: BLE001 -- if it escaped, servers would serve anyway
            return Failure("LifespanMiddleware", error)
        return None

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
                cancelled = error  # the remaining steps still run
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


class UnaskedCycle(Cycle):
    """A cycle without a server's signals: it serves until the event loop ends.

    *previous* is the cycle that failed before this one.
    """

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
        """Start in a task. *ended* is called at the end, unless startup failed."""
        # A task and a context of its own: the first client may leave, and the ID of its request
        # does not belong here. The task is stored because the loop keeps only weak references.
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
