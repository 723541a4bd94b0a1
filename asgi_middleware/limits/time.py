"""Respond to a request in time, whatever the app does."""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextvars import Context, copy_context
from itertools import takewhile

from .. import _options as options
from .._django import route_of
from .._paths import ByPrefix, path_below_root, prefix_problems
from ..types import ASGIApp, Header, Receive, Scope, Send
from .refusal import Refusable

logger = logging.getLogger("asgi_middleware.limits")

_NO_STORE: list[Header] = [(b"cache-control", b"no-store")]
_TOO_LATE = "The server did not respond in time.\n"


class RequestTimeoutMiddleware:
    """Respond with 504 to a request whose response has not begun in time.

        RequestTimeoutMiddleware(app, 30.0, paths={"/reports/": 120.0, "/events/": None})

    * ``timeout``: seconds from the request to the start of its response.
    * ``paths``: other timeouts for prefixes of the path below ``root_path``; the longest prefix
      decides, and None means no timeout there.

    The app receives ``http.disconnect``. Django then cancels an async view. A sync view runs on in
    its thread, and its late response is dropped. A response that has begun is never cut, so
    streams may take as long as they like, and so may WebSockets.

    Raises :class:`ConfigurationError` for options that cannot work.
    """

    def __init__(
        self, app: ASGIApp, timeout: float, *, paths: Mapping[str, float | None] | None = None
    ) -> None:
        options.check(
            "RequestTimeoutMiddleware",
            options.seconds("timeout", timeout, example=30.0),
            prefix_problems("paths", paths, "{'/reports/': 120.0}", _timeout_problems),
        )
        self.app = app
        self._options = {"timeout": timeout, "paths": paths or {}}
        by_path = {
            path: None if seconds is None else _Timeout(seconds)
            for path, seconds in (paths or {}).items()
        }
        self._timeouts = ByPrefix(by_path, _Timeout(timeout))

    def __repr__(self) -> str:
        return options.repr_of(self, **self._options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        timeout = self._timeouts.of(scope) if scope["type"] == "http" else None
        if timeout is None:
            return await self.app(scope, receive, send)

        request = _Request(scope, receive, send)
        timeout.queue().put(request)
        try:
            await self.app(scope, request.receive, request.send)
        except BaseException as error:
            if not request.explains(error):
                raise
        finally:
            request.leave()
        if request.refusal is not None:
            await request.refusal


class _Timeout:
    """A timeout in seconds, and the requests that it applies to."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._queue: _Queue | None = None

    def queue(self) -> "_Queue":
        """Return the queue of this event loop. A timer keeps the queue of another loop alive."""
        loop = asyncio.get_running_loop()
        queue = self._queue
        if queue is None or queue.loop is not loop:
            queue = self._queue = _Queue(loop, self._seconds)
        return queue


class _Queue:
    """The requests of an event loop that have the same timeout, until their response begins.

    They expire in the order in which they arrived, so one timer is enough for all.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.loop = loop
        self.seconds = seconds
        self.requests: dict[_Request, None] = {}
        self._has_timer = False

    def put(self, request: "_Request") -> None:
        request.queue = self
        request.context = copy_context()
        request.deadline = self.loop.time() + self.seconds
        self.requests[request] = None
        if not self._has_timer:
            self._set_timer(request.deadline)

    def _set_timer(self, deadline: float) -> None:
        # With an empty context, so that the timer does not keep the context of the first request.
        self.loop.call_at(deadline, self._expire, context=Context())
        self._has_timer = True

    def _expire(self) -> None:
        now = self.loop.time()
        due = [*takewhile(lambda request: request.deadline <= now, self.requests)]
        try:
            for request in due:
                if self.requests.pop(request, False) is None:
                    request.context.run(request.expire)
        finally:
            self._has_timer = False
            if self.requests:
                self._set_timer(next(iter(self.requests)).deadline)


class _Request(Refusable):
    """A request with a deadline for its response."""

    queue: _Queue
    deadline: float
    context: Context

    def leave(self) -> None:
        """End the wait for the response."""
        self.queue.requests.pop(self, None)

    begin_response = leave

    def expire(self) -> None:
        if self.has_left:  # nobody is there to get the response
            return
        self.refuse(504, _NO_STORE, _TOO_LATE, "timeout")
        path = path_below_root(self.scope)
        logger.warning(
            "%s %s (%s) got a 504: no response had begun after %g s",
            self.scope["method"],
            options.shown(path),
            route_of(path) or "unmatched",
            self.queue.seconds,
        )


def _timeout_problems(option: str, timeout: object) -> Iterator[str]:
    return options.seconds(option, timeout, optional=True, example=30.0)
