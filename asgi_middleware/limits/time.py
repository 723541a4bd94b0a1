"""Respond to a request in time, whatever the app does."""

import asyncio
import logging
from collections.abc import Awaitable, Iterator, Mapping
from weakref import WeakKeyDictionary

from .. import _options as options
from .._django import route_of
from .._messages import HTTP_DISCONNECT
from .._paths import ByPrefix, path_below_root, prefix_problems
from .._receive import EndableReceive
from .._responses import send_text
from ..types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger("asgi_middleware.limits")

_TOO_LATE = "The server did not respond in time.\n"


class RequestTimeoutMiddleware:
    """Respond 504 to a request whose response has not begun in time.

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
        self._timeout = timeout
        self._timeouts = ByPrefix(paths or {}, timeout)
        self._deadlines: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, _Deadlines]]
        self._deadlines = WeakKeyDictionary()

    def __repr__(self) -> str:
        return options.repr_of(self, timeout=self._timeout, paths=self._timeouts.given)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seconds = self._timeouts.of(scope) if scope["type"] == "http" else None
        if seconds is None:
            return await self.app(scope, receive, send)

        request = _TimedRequest(scope, receive, send, self._deadlines_of(seconds))
        try:
            await self.app(scope, request.receive, request.send)
        except Exception:
            if request.refusal is None:
                raise
            # An app may raise when its client leaves, which is what it was told.
            logger.debug("the app raised after its request had timed out", exc_info=True)
        finally:
            request.deadlines.remove(request)
        if request.refusal is not None:
            await request.refusal

    def _deadlines_of(self, seconds: float) -> "_Deadlines":
        loop = asyncio.get_running_loop()
        by_timeout = self._deadlines.get(loop)
        if by_timeout is None:
            by_timeout = self._deadlines[loop] = {}
        if seconds not in by_timeout:
            by_timeout[seconds] = _Deadlines(loop, seconds)
        return by_timeout[seconds]


class _Deadlines:
    """The requests of one event loop that have the same timeout.

    They come and expire in the same order, so one timer is enough for all of them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.seconds = seconds
        self._loop = loop
        self._requests: dict[_TimedRequest, float] = {}
        self._has_timer = False

    def add(self, request: "_TimedRequest") -> None:
        self._requests[request] = self._loop.time() + self.seconds
        if not self._has_timer:
            self._has_timer = True
            self._loop.call_later(self.seconds, self._expire)

    def remove(self, request: "_TimedRequest") -> None:
        self._requests.pop(request, None)

    def _expire(self) -> None:
        now = self._loop.time()
        while self._requests:
            request, deadline = next(iter(self._requests.items()))
            if deadline > now:
                self._loop.call_at(deadline, self._expire)
                return
            del self._requests[request]
            request.expire()
        self._has_timer = False


class _TimedRequest:
    """One request until its response begins."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, deadlines: _Deadlines) -> None:
        self.refusal: asyncio.Task[None] | None = None
        self.deadlines = deadlines
        self._scope = scope
        self._send = send
        self._receive = EndableReceive(receive, _disconnect)
        self.receive = self._receive.receive
        deadlines.add(self)

    def send(self, message: Message) -> Awaitable[None]:
        if self.refusal is not None:
            return _dropped(message)
        if message["type"] == "http.response.start":
            self.deadlines.remove(self)
        return self._send(message)

    def expire(self) -> None:
        path = path_below_root(self._scope)
        logger.warning(
            "%s %s (%s) got a 504: no response had begun after %g s",
            self._scope["method"],
            options.shown(path),
            route_of(path) or "unmatched",
            self.deadlines.seconds,
        )
        # A task of its own, because the app may be in a call that does not end.
        refusal = send_text(self._send, 504, [(b"cache-control", b"no-store")], _TOO_LATE)
        self.refusal = asyncio.ensure_future(refusal)
        self._receive.end()


async def _disconnect() -> Message:
    return HTTP_DISCONNECT


async def _dropped(message: Message) -> None:
    """Drop what an app sends too late; a stream is told to end."""
    await asyncio.sleep(0)
    if message.get("more_body", False):
        raise ConnectionResetError("the request had timed out")


def _timeout_problems(option: str, timeout: object) -> Iterator[str]:
    return options.seconds(option, timeout, optional=True, example=30.0)
