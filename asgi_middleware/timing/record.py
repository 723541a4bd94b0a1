"""The record of a request or WebSocket, which the middleware fills and views add phases to.

There is one object for each request, shared by reference. Django runs views in child tasks and
in threads, which have a copy of the context. A context variable that is set there never travels
back, but a phase that is added to this object does.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar, cast

from asgiref.sync import iscoroutinefunction

from ..types import Scope

P = ParamSpec("P")
R = TypeVar("R")

Clock = Callable[[], float]
Outcome = Literal["ok", "error", "cancelled", "disconnect"]

# The route where no URL pattern matched, or where nothing has set it.
UNMATCHED = "unmatched"

# nginx's "client closed request". No status is registered for a client that left early.
# https://nginx.org/en/docs/dev/development_guide.html#http_existing_status_codes
CLIENT_CLOSED_REQUEST = 499


@dataclass(slots=True)
class Phase:
    """A named part of a request. Times are in seconds on the clock of the record."""

    name: str
    started: float
    duration: float
    description: str | None = None


def _none_yet() -> list[Phase]:
    # `list[Phase]` can be called as well, but takes four times as long.
    return []


@dataclass(slots=True, eq=False)
class RequestTiming:
    """The record of one HTTP request. Times are in seconds on its ``clock``.

    ``started`` is a reading of the clock; ``ttfb`` and ``duration`` count from there. ``ttfb``
    ends when the server is handed the start of the response. ``duration`` ends when the server
    has taken the last message, or when the app ends without sending it.

    ``outcome`` is None until the app has ended. Then it is one of these:

    * ``ok``: the response was complete, whatever the app did afterwards.
    * ``error``: the app raised before that. If nothing was sent, ``status`` is 500.
    * ``cancelled``: the app was cancelled before that.
    * ``disconnect``: the app returned before that, as Django does when the client has left.
      If nothing was sent, ``status`` is None.

    ``route`` is the URL pattern, never a path. ``bytes_sent`` counts the bodies that pass as
    messages, but not the files that the server sends itself. :mod:`asgi_middleware.django` fills
    ``database_queries`` and ``database_time``.

    Code that knows its user may set ``expose``, and the function in ``server_timing`` may read it.
    """

    scope: Scope
    clock: Clock
    started: float
    route: str = UNMATCHED
    status: int | None = None
    ttfb: float | None = None
    duration: float | None = None
    bytes_sent: int = 0
    outcome: Outcome | None = None
    exception: BaseException | None = None
    phases: list[Phase] = field(default_factory=_none_yet)
    database_queries: int = 0
    database_time: float = 0.0
    expose: bool = False

    @property
    def method(self) -> str:
        return cast("str", self.scope["method"])

    @property
    def request_id(self) -> str | None:
        """What ``RequestIDMiddleware``, further out, has put into the state."""
        return _request_id(self.scope)

    def ended(self, exception: BaseException | None) -> None:
        """Settle the outcome, once the app has returned (None) or raised."""
        self.exception = exception
        if self.duration is not None:
            self.outcome = "ok"
            return
        self.duration = self.clock() - self.started
        self.outcome = _incomplete(exception)
        if self.outcome == "error":
            # What every server sends when an app raises before it has sent anything.
            self.status = self.status or 500


@dataclass(slots=True, eq=False)
class WebSocketTiming:
    """The record of one WebSocket. Times are in seconds on its ``clock``.

    ``started`` is a reading of the clock; ``accepted`` and ``duration`` count from there.
    ``accepted`` is None if the socket was not accepted. ``duration`` ends when either side has
    closed the socket, when the handshake was refused, or when the app ends before that.
    ``close_code`` is the code of the side that closed first, None if neither did.

    ``outcome`` is None until the app has ended. Then it is ``ok``, ``error`` or ``cancelled``, as
    for a request, or ``disconnect`` if the app neither accepted nor refused the handshake.

    A consumer may set ``route``: ``scope["state"]["timing"].route = "chat"``.
    """

    scope: Scope
    clock: Clock
    started: float
    route: str = UNMATCHED
    accepted: float | None = None
    duration: float | None = None
    close_code: int | None = None
    outcome: Outcome | None = None
    exception: BaseException | None = None

    @property
    def request_id(self) -> str | None:
        """What ``RequestIDMiddleware``, further out, has put into the state."""
        return _request_id(self.scope)

    def closed(self) -> None:
        """End the duration, if it has not ended."""
        if self.duration is None:
            self.duration = self.clock() - self.started

    def ended(self, exception: BaseException | None) -> None:
        """Settle the outcome, once the app has returned (None) or raised."""
        self.exception = exception
        # A server closes an open socket whose app has returned.
        if self.duration is not None or (self.accepted is not None and exception is None):
            self.outcome = "ok"
        else:
            self.outcome = _incomplete(exception)
        self.closed()


Timing = RequestTiming | WebSocketTiming

current_record: ContextVar[Timing | None] = ContextVar("timing", default=None)


def current_timing() -> RequestTiming | None:
    """Return the record of the current request, None outside a request."""
    record = current_record.get()
    return record if isinstance(record, RequestTiming) else None


def reported_status(record: RequestTiming) -> int | None:
    """Return the status for logs and labels: 499 if the client left before there was one."""
    if record.status is None and record.outcome == "disconnect":
        return CLIENT_CLOSED_REQUEST
    return record.status


def _request_id(scope: Scope) -> str | None:
    return cast("str | None", scope.get("state", {}).get("request_id"))


def _incomplete(exception: BaseException | None) -> Outcome:
    """Return the outcome if the app ended before the response or the WebSocket was complete."""
    if exception is None:
        return "disconnect"
    if isinstance(exception, asyncio.CancelledError | GeneratorExit):
        return "cancelled"
    return "error"


class measure:  # noqa: N801 -- used like a function: `with measure("render"):`
    """Add a phase to the current request, around a block or a function.

        with measure("render", "the invoice as PDF"): ...

        @measure("stock")
        async def stock(item): ...

    It works around ``await``, in threads, on sync and async functions, and as ``async with``.
    It does nothing outside a request, nor in a WebSocket, whose list of phases would grow
    without end. Raises ValueError for an empty name.
    """

    __slots__ = ("_description", "_name", "_record", "_started")

    def __init__(self, name: str, description: str | None = None) -> None:
        if not name:
            raise ValueError("measure: a phase needs a name; use measure('render')")
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

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, exception, traceback)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        # Each call has a `measure` of its own, because calls may overlap.
        name, description = self._name, self._description

        # asgiref's function: on Python 3.11, that of inspect does not see what Django marks as a
        # coroutine function, such as an async class-based view.
        if iscoroutinefunction(function):  # pyright: ignore[reportDeprecated]

            @wraps(function)
            async def measured_async(*args: P.args, **kwargs: P.kwargs) -> Any:
                with measure(name, description):
                    return await cast("Any", function)(*args, **kwargs)

            return cast("Callable[P, R]", measured_async)

        @wraps(function)
        def measured(*args: P.args, **kwargs: P.kwargs) -> R:
            with measure(name, description):
                return function(*args, **kwargs)

        return measured
