"""The record of a request or WebSocket, which the middleware fills and views add phases to.

There is one object for each request, shared by reference. Django runs views in child tasks and
threads, which have a copy of the context. A context variable that is set there does not reach the
middleware, but a phase that is added to this object does.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar, cast

from .._async import is_async
from ..types import Scope

P = ParamSpec("P")
R = TypeVar("R")

Clock = Callable[[], float]
Outcome = Literal["ok", "error", "cancelled", "disconnect", "refused", "timeout"]

# The route if no URL pattern matched, or if nothing has set it.
UNMATCHED = "unmatched"

# nginx's "client closed request". No status is registered for a client that left early.
# https://nginx.org/en/docs/dev/development_guide.html#http_existing_status_codes
CLIENT_CLOSED_REQUEST = 499
# What every server sends when an app ends before it has sent anything.
SERVER_ERROR = 500

# A stream may measure forever, and its record must stay small.
MAX_PHASES = 1000


@dataclass(slots=True)
class Phase:
    """A named part of a request. Times are in seconds on the clock of the record."""

    name: str
    started: float
    duration: float
    description: str | None = None


def _none_yet() -> list[Phase]:
    # `list[Phase]` would also work as the factory, but takes four times as long.
    return []


@dataclass(slots=True, eq=False)
class _Record:
    """What the records of requests and WebSockets have in common."""

    scope: Scope
    clock: Clock
    started: float
    route: str = UNMATCHED
    status: int | None = None
    duration: float | None = None
    outcome: Outcome | None = None
    exception: BaseException | None = None

    @property
    def request_id(self) -> str | None:
        """The ID that ``RequestIDMiddleware``, further out, has put into the state."""
        return cast("str | None", self.scope.get("state", {}).get("request_id"))

    def settle(self, outcome: Outcome, status: int | None = None) -> bool:
        """Set the outcome and the duration unless they are set, and tell whether this call did it.

        *status* is used if the record has none yet.
        """
        if self.outcome is not None:
            return False
        self.duration = self.clock() - self.started
        self.outcome = outcome
        if self.status is None:
            self.status = status
        return True


@dataclass(slots=True, eq=False)
class RequestTiming(_Record):
    """The record of one HTTP request. Times are in seconds on its ``clock``.

    ``started`` is a reading of the clock; ``ttfb`` and ``duration`` count from there. ``ttfb``
    ends when the server is handed the start of the response. ``duration`` ends when the server
    has taken the last message, or when the app ends without sending it.

    ``outcome`` is None until then. After that, it is one of these:

    * ``ok``: the response was complete, whatever the app did afterwards.
    * ``error``: the app raised before that. If nothing was sent, ``status`` is 500.
    * ``cancelled``: the app was cancelled before that.
    * ``disconnect``: the app returned before that, as Django does when the client has left.
      If nothing was sent, ``status`` is None.
    * ``refused``: ``RequestBodyLimitMiddleware`` responded in the app's place.
    * ``timeout``: ``RequestTimeoutMiddleware`` did.

    A layer that responds in the app's place sets ``refusal``, which becomes the outcome.
    ``exception`` is set once the app has ended. ``route`` is the URL pattern, never a path.
    ``bytes_sent`` is the size of the content that the client gets: 0 for a ``HEAD``, a 204 or a
    304. If the server sends a file itself, it is the ``Content-Length`` of the response.
    :mod:`asgi_middleware.django` fills ``database_queries`` and ``database_time``.
    ``phases_left_out`` counts the phases that came after the first 1,000.

    Code that knows its user may set ``expose``, and the function in ``server_timing`` may read it.
    """

    ttfb: float | None = None
    bytes_sent: int = 0
    phases: list[Phase] = field(default_factory=_none_yet)
    phases_left_out: int = 0
    database_queries: int = 0
    database_time: float = 0.0
    expose: bool = False
    refusal: Outcome | None = None

    @property
    def method(self) -> str:
        return cast("str", self.scope["method"])

    def ended(self) -> bool:
        """Settle the outcome if the app has ended before the response was complete."""
        outcome = "disconnect" if self.exception is None else _failure(self.exception)
        outcome = self.refusal or outcome
        return self.settle(outcome, SERVER_ERROR if outcome == "error" else None)


@dataclass(slots=True, eq=False)
class WebSocketTiming(_Record):
    """The record of one WebSocket. Times are in seconds on its ``clock``.

    ``started`` is a reading of the clock; ``accepted`` and ``duration`` count from there.
    ``accepted`` is None if the socket was never open. ``duration`` ends when either side has
    closed the socket, when the handshake was refused, or when the app ends before that.
    ``close_code`` is the code of the side that closed first, None if neither did.

    ``outcome`` is None until then, and ``status`` is that of the handshake, or None if it
    was accepted:

    =====================  ====================  ===========
    what happens first     before it is open     while it is open
    =====================  ====================  ===========
    the app closes         ``refused``, 403      ``ok``
    the app responds       ``refused``, its own
    the client leaves      ``disconnect``, None  ``ok``
    the app returns        ``error``, 500        ``ok``
    the app raises         ``error``, 500        ``error``
    the app is cancelled   ``cancelled``, None   ``cancelled``
    =====================  ====================  ===========

    A consumer may set ``route``: ``scope["state"]["timing"].route = "chat"``.
    """

    accepted: float | None = None
    close_code: int | None = None

    def ended(self, *, by_client: bool = False) -> bool:
        """Settle the outcome if the app has ended, or the client has left."""
        outcome: Outcome
        if self.exception is not None:
            outcome = _failure(self.exception)
        elif self.accepted is not None:
            outcome = "ok"
        elif self.status is not None:
            outcome = "refused"
        else:
            outcome = "disconnect" if by_client else "error"
        failed_first = outcome == "error" and self.accepted is None
        return self.settle(outcome, SERVER_ERROR if failed_first else None)


Timing = RequestTiming | WebSocketTiming

current_record: ContextVar[Timing | None] = ContextVar("timing", default=None)


def current_timing() -> RequestTiming | None:
    """Return the record of the current request, or None outside a request."""
    record = current_record.get()
    return record if isinstance(record, RequestTiming) else None


def reported_status(record: Timing) -> int | None:
    """Return the status for logs and labels: 499 if the client left before there was one."""
    if record.status is None and record.outcome == "disconnect":
        return CLIENT_CLOSED_REQUEST
    return record.status


def _failure(exception: BaseException) -> Outcome:
    cancelled = isinstance(exception, asyncio.CancelledError | GeneratorExit)
    return "cancelled" if cancelled else "error"


class measure:  # noqa: N801 -- used like a function: `with measure("render"):`
    """Add a phase to the current request, around a block or a function.

        with measure("render", "the invoice as PDF"): ...

        @measure("stock")
        async def stock(item): ...

    It works around ``await``, in threads, on sync and async functions, and as ``async with``.
    It does nothing outside a request or in a WebSocket, whose list of phases would grow
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
        if record is None:
            return
        if len(record.phases) >= MAX_PHASES:
            record.phases_left_out += 1
            return
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

        if is_async(function):

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
