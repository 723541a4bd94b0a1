"""The record of one request: what the middleware fills, and views add phases to.

There is one object for each request, shared by reference. Django runs views in
child tasks and in threads, whose context is a copy; a value set there never
travels back, but what is added to this object does.
"""

import asyncio
import inspect
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar, cast

from ..types import Scope

P = ParamSpec("P")
R = TypeVar("R")

Clock = Callable[[], float]
Outcome = Literal["ok", "error", "cancelled", "disconnect"]

_current: ContextVar["RequestTiming | None"] = ContextVar("request_timing", default=None)


@dataclass(slots=True)
class Phase:
    """A named part of a request. Times are in seconds on the record's clock."""

    name: str
    started: float
    duration: float
    description: str | None = None


@dataclass(slots=True, eq=False)
class RequestTiming:
    """What is known of one HTTP request; times in seconds on its ``clock``.

    ``started`` is a reading of the clock, ``ttfb`` and ``duration`` count from it.
    ``ttfb`` ends when the response's start is handed to the server, ``duration``
    when the server has taken the last message, or when the app gave up.

    ``outcome`` is None until the app has ended, then:

    * ``ok``: the response was completed, whatever the app did afterwards;
    * ``error``: the app raised before that; ``status`` is 500 if nothing was sent;
    * ``cancelled``: the app was cancelled before that;
    * ``disconnect``: the app returned before that, as Django does when the client
      is gone; ``status`` is None if nothing was sent.

    ``expose`` is for code that knows its user to set: ``server_timing`` may be a
    callable that reads it.
    """

    scope: Scope
    clock: Clock
    started: float
    status: int | None = None
    ttfb: float | None = None
    duration: float | None = None
    bytes_sent: int = 0
    outcome: Outcome | None = None
    exception: BaseException | None = None
    phases: list[Phase] = field(default_factory=list[Phase])
    expose: bool = False

    @property
    def method(self) -> str:
        return cast("str", self.scope["method"])

    def ended(self, exception: BaseException | None) -> None:
        """Settle the outcome, once the app has returned (None) or raised."""
        self.exception = exception
        if self.duration is not None:
            self.outcome = "ok"
            return
        self.duration = self.clock() - self.started
        if exception is None:
            self.outcome = "disconnect"
        elif isinstance(exception, asyncio.CancelledError | GeneratorExit):
            self.outcome = "cancelled"
        else:
            self.outcome = "error"
            # What every server answers when an app raises before it sent anything.
            self.status = self.status or 500


def current_timing() -> RequestTiming | None:
    """Return the record of the request that this code runs for, None outside of one."""
    return _current.get()


class measure:  # noqa: N801 -- used like a function: `with measure("render"):`
    """Add a phase to the current request, around a block or a function.

        with measure("render", "the invoice as PDF"): ...

        @measure("stock")
        async def stock(item): ...

    Works around ``await``, in threads, and on functions of both colours. Outside a
    request it does nothing. Raises ValueError for an empty name.
    """

    __slots__ = ("_description", "_name", "_record", "_started")

    def __init__(self, name: str, description: str | None = None) -> None:
        if not name:
            raise ValueError("measure: a phase needs a name; write measure('render')")
        self._name = name
        self._description = description

    def __enter__(self) -> None:
        self._record = current_timing()
        if self._record is not None:
            self._started = self._record.clock()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        record = self._record
        if record is not None:
            took = record.clock() - self._started
            record.phases.append(Phase(self._name, self._started, took, self._description))

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        # A `measure` of its own for each call: calls may overlap.
        name, description = self._name, self._description

        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def measured_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with measure(name, description):
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", measured_async)

        @wraps(function)
        def measured(*args: P.args, **kwargs: P.kwargs) -> R:
            with measure(name, description):
                return function(*args, **kwargs)

        return measured
