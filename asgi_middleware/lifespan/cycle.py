"""One life of the app, from start-up to shutdown: what it opens, serves, and closes."""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from ..readiness import Readiness
from ..types import ASGIApp, Receive, Scope, Send
from .connections import InFlight, serve_http, serve_websocket
from .contexts import ContextFactory, name_of, opened
from .drain import Drain, Draining
from .failure import Failure
from .inner import InnerLifespan
from .state import RESERVED, State, merge
from .tasks import TaskSupervisor
from .worker import PATIENCE, Deadline, WorkerTask

logger = logging.getLogger(__name__)


class Cycle:
    """Starts, serves and stops once. Everything that runs for that long belongs to it.

    Start-up enters the contexts in order, then starts the app's own lifespan. Shutdown
    goes the other way round: requests in flight, tasks, the app, the contexts.

    ``settled`` is set when start-up is over, and ``serving`` then tells how it went.
    """

    def __init__(
        self,
        app: ASGIApp,
        lifespan: Sequence[ContextFactory],
        scope: Scope,
        *,
        startup_timeout: float,
        shutdown_timeout: float,
        readiness: Readiness,
        drain: Drain | None,
    ) -> None:
        self.settled = asyncio.Event()
        # Of a cycle that no server has asked for: its task, and when to try once more.
        self.task: asyncio.Task[None] | None = None
        self.attempt = 0
        self.retry_at: float | None = None
        self._app = app
        self._lifespan = lifespan
        self._server_has_state = "state" in scope
        self._startup_timeout = startup_timeout
        self._shutdown_timeout = shutdown_timeout
        self._readiness = readiness
        self._draining = drain and Draining(drain, readiness)
        self._open = False
        self._in_flight = InFlight()
        self._worker: WorkerTask
        self._exits: list[tuple[str, Callable[[], Awaitable[object]]]] = []
        # A cycle around this one shares its tasks: they end before either closes anything.
        shared = scope.get("state", {}).get("tasks")
        self._owns_tasks = not isinstance(shared, TaskSupervisor) or shared.stopping
        self._tasks = TaskSupervisor(self._task_died) if self._owns_tasks else shared
        self.state: State = {"tasks": self._tasks}
        self._owners = dict(RESERVED)
        self._inner = InnerLifespan(app, scope, {"tasks": self._tasks}, self._inner_died)

    @property
    def serving(self) -> bool:
        """Tell whether requests are answered: not before, not after, nor after a drain."""
        return self._open and not (self._draining and self._draining.over)

    @property
    def may_be_tried_again(self) -> bool:
        return self.retry_at is not None and time.monotonic() >= self.retry_at

    @property
    def retry_after(self) -> int:
        """Return the seconds that a client should wait, for ``Retry-After``."""
        return max(1, math.ceil((self.retry_at or 0.0) - time.monotonic()))

    async def start(self) -> Failure | None:
        """Open everything; return what failed, with all closed that was open by then."""
        self._readiness.starting()
        self._worker = WorkerTask()
        deadline = Deadline("start-up", self._startup_timeout)
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
            if self._draining:
                self._draining.listen()
        return failure

    async def serve(self, until: Awaitable[object]) -> Failure | None:
        """Serve until *until* is done, then close everything; return what failed.

        Raises what *until* raises, after that. A context whose task group falls apart
        ends it all at once: what it cancels cannot wait.
        """
        told: asyncio.Future[Any] = asyncio.ensure_future(until)
        try:
            await asyncio.wait(
                {told, self._worker.interrupted}, return_when=asyncio.FIRST_COMPLETED
            )
        except asyncio.CancelledError:
            told.cancel()
            await self._stop()
            raise
        if not told.done():
            logger.error("a task group of a context has failed; everything is closed now")
        failure = await self._stop()
        await told
        return failure

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the app answer a request or a WebSocket, with our state in its scope."""
        if not self._server_has_state:
            scope = {**scope, "state": {**self.state, **scope.get("state", {})}}
        if self._draining:
            serve = serve_http if scope["type"] == "http" else serve_websocket
            with self._in_flight:
                await serve(self._app, scope, receive, send, self._draining)
        elif scope["type"] == "http":
            with self._in_flight:
                await self._app(scope, receive, send)
        else:  # not counted: nothing would tell it to end, and shutdown would wait in vain
            await self._app(scope, receive, send)

    async def _enter_all(self, deadline: Deadline) -> Failure | None:
        for factory in self._lifespan:
            entering = partial(self._enter, factory)
            failure = await self._worker.run(name_of(factory), entering, deadline)
            if failure:
                return failure
        failure = await self._inner.start(deadline)
        if failure:
            return failure
        try:
            self._take_over_inner_state()
        except ValueError as conflict:
            return Failure(self._inner.name, conflict)
        return None

    async def _enter(self, factory: ContextFactory) -> None:
        context = opened(factory, self.state)
        yielded: object = await context.__aenter__()
        # Here and not by the caller, who may have run out of patience meanwhile.
        self._exits.append((name_of(factory), partial(context.__aexit__, None, None, None)))
        if isinstance(yielded, Mapping):
            merge(
                self.state,
                self._owners,
                cast("Mapping[str, object]", yielded),
                source=name_of(factory),
            )

    def _take_over_inner_state(self) -> None:
        yielded = dict(self._inner.state)
        if yielded.get("tasks") is self._tasks:
            del yielded["tasks"]
        merge(self.state, self._owners, yielded, source=self._inner.name)

    async def _give_up(self, failure: Failure | None, deadline: Deadline) -> None:
        self._readiness.withdraw("start-up failed")
        if failure:
            failure.log("start-up")
        await self._unwind(deadline)

    async def _stop(self) -> Failure | None:
        self._open = False
        self._readiness.withdraw("shutting down")
        deadline = Deadline("shutdown", self._shutdown_timeout)
        if self._draining:
            self._draining.begin_grace()
        try:
            await self._in_flight.ended(deadline)
        finally:
            failure = await self._unwind(deadline)
            if self._draining:
                self._draining.restore()
        return failure

    async def _unwind(self, deadline: Deadline) -> Failure | None:
        """Close everything, whatever fails on the way; return the first failure."""
        steps: list[Callable[[], Awaitable[Failure | None]]] = [
            partial(self._inner.stop, deadline),
            *(
                partial(self._worker.run, name, exiting, deadline, at_least=PATIENCE)
                for name, exiting in reversed(self._exits)
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
                cancelled = error  # the other steps are taken all the same
                continue
            if failure:
                failure.log("shutdown")
                failures.append(failure)
        await self._worker.end()
        if cancelled:
            raise cancelled
        return failures[0] if failures else None

    def _task_died(self, name: str) -> None:
        self._readiness.withdraw(f"the task {name} has crashed")

    def _inner_died(self, failure: Failure) -> None:
        failure.log("serving")
        self._readiness.withdraw(f"{failure.name} has failed")
