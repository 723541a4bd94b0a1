"""Drive an app with one HTTP request, whole or in parts."""

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from .._headers import values
from ..types import ASGIApp, Header, Message
from ._call import Call
from ._lint import HTTPLint
from ._scope import GivenHeaders, http_scope, request_headers

_DISCONNECT = {"type": "http.disconnect"}


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """What came back. ``status`` is None and ``complete`` False where nothing did.

    ``headers`` are as sent, in order and spelling; ``messages`` is everything that
    was sent, ``exception`` what the app raised. ``awaits`` is the number of calls of
    ``receive`` and ``send`` that there were: each can be a ``disconnect_at`` or a
    ``cancel_at``. ``receives`` counts those of ``receive``, ``receives_after_disconnect``
    those that came when the app had been told already.
    """

    status: int | None
    headers: tuple[Header, ...]
    body: bytes
    trailers: tuple[Header, ...]
    complete: bool
    messages: tuple[Message, ...]
    exception: BaseException | None
    awaits: int
    receives: int
    receives_after_disconnect: int

    def getall(self, name: bytes) -> list[bytes]:
        """Return the values of every header called *name*, in whatever case."""
        return values(self.headers, name.lower())

    def get(self, name: bytes) -> bytes | None:
        """Return the value of the only header called *name*, None without one.

        Raises ValueError if there are several.
        """
        found = self.getall(name)
        if len(found) > 1:
            raise ValueError(f"there are {len(found)} headers {name!r}: {found!r}")
        return found[0] if found else None

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


class Exchange:
    """A request that is under way; made by :func:`stream`."""

    def __init__(self, app: ASGIApp, scope: dict[str, Any], *, timeout: float) -> None:
        self._call = Call(app, scope, timeout=timeout)
        self._lint = HTTPLint(scope, self._call.witness.spelled)
        self._call.on_sent = self._after_message
        self._read = 0

    def start(self, *, disconnect_at: int | None = None, cancel_at: int | None = None) -> None:
        if disconnect_at is not None:
            self._call.at[disconnect_at] = self.disconnect
        if cancel_at is not None:
            self._call.at[cancel_at] = self.cancel
        self._call.start(self._lint)

    def send_body(self, body: bytes, *, more_body: bool = True) -> None:
        """Let the app receive *body*; the last part says ``more_body=False``."""
        self._call.put({"type": "http.request", "body": body, "more_body": more_body})

    def disconnect(self) -> None:
        """Leave: what the app has not received it never will, and nothing it sends arrives."""
        self._call.finish_with(_DISCONNECT, discard=True)

    def cancel(self) -> None:
        """Cancel the app's task, as a server does that is out of patience."""
        self._call.cancel()

    async def message(self) -> Message:
        """Return the next message that the app sends."""
        number = self._read
        await self._call.until(lambda: len(self._call.sent) > number, f"message {number + 1}")
        self._read += 1
        return self._call.sent[number]

    async def finish(self) -> Response:
        """Wait for the end of the app, check the rules, and return what it has sent."""
        await self._call.join()
        self._call.verify()
        if self._call.end is None and self._call.exception is None:
            self._lint.ended()
        return self._response()

    async def leave(self) -> None:
        """Disconnect if the app has more to say, wait for its end, and check the rules.

        Raises what the app raised. An app that is cancelled hears of nothing else.
        """
        if not self._call.ended and not self._call.cancelled:
            self.disconnect()
        await self.finish()
        self._call.raise_failure()

    async def abandon(self) -> None:
        """End the app by force."""
        await self._call.stop()

    def _after_message(self) -> None:
        # "... or after the response has been sent": https://asgi.readthedocs.io/en/latest/specs/www.html#disconnect-receive-event
        if self._lint.complete:
            self._call.finish_with(_DISCONNECT, discard=True)

    def _response(self) -> Response:
        starts = [m for m in self._call.sent if m["type"] == "http.response.start"]
        bodies = [m for m in self._call.sent if m["type"] == "http.response.body"]
        trailers = [m for m in self._call.sent if m["type"] == "http.response.trailers"]
        return Response(
            status=starts[0]["status"] if starts else None,
            headers=_headers(starts),
            body=b"".join(message.get("body", b"") for message in bodies),
            trailers=_headers(trailers),
            complete=self._lint.complete,
            messages=tuple(self._call.sent),
            exception=self._call.exception,
            awaits=self._call.awaits,
            receives=self._call.receives,
            receives_after_disconnect=self._call.receives_after_end,
        )


async def request(
    app: ASGIApp,
    method: str = "GET",
    target: str = "/",
    *,
    headers: GivenHeaders = (),
    body: bytes | Iterable[bytes] = b"",
    scope: Mapping[str, Any] | None = None,
    disconnect_at: int | None = None,
    cancel_at: int | None = None,
    raise_app_exceptions: bool = True,
    timeout: float = 10.0,
) -> Response:
    """Send one request and return the response, once the app has ended.

    *target* is a path, percent-encoded, perhaps with a query. *body* in parts arrives
    as that many messages. *scope* holds what is to be different in the scope. The
    client leaves, or the server cancels the app, at the call of ``receive`` or
    ``send`` whose number is *disconnect_at* or *cancel_at*, counted from 1.

    Like a server: the body once, then silence until the response is complete, then
    ``http.disconnect``. Raises :class:`ASGIViolation` for a broken rule, what the app
    raised unless *raise_app_exceptions* is false, and TimeoutError after *timeout*
    seconds.
    """
    parts = [body] if isinstance(body, bytes) else list(body)
    about_body = ((b"content-length", str(len(parts[0])).encode()),) if parts[0] else ()
    if len(parts) > 1:
        about_body = ((b"transfer-encoding", b"chunked"),)
    made = http_scope(method, target, _with_host(headers, *about_body), scope or {})
    exchange = Exchange(app, made, timeout=timeout)
    for number, part in enumerate(parts, start=1):
        exchange.send_body(part, more_body=number < len(parts))
    exchange.start(disconnect_at=disconnect_at, cancel_at=cancel_at)
    try:
        response = await exchange.finish()
    finally:
        await exchange.abandon()
    if response.exception is not None and raise_app_exceptions:
        raise response.exception
    return response


@asynccontextmanager
async def stream(
    app: ASGIApp,
    method: str = "GET",
    target: str = "/",
    *,
    headers: GivenHeaders = (),
    scope: Mapping[str, Any] | None = None,
    timeout: float = 10.0,
) -> AsyncGenerator[Exchange]:
    """Send a request whose body, and whose response, pass in parts.

        async with stream(app, "POST", "/upload") as exchange:
            exchange.send_body(b"first part")
            exchange.send_body(b"last part", more_body=False)
            start = await exchange.message()

    A GET needs its (empty) last part too. At the end of the block the client leaves,
    unless the response is complete; the app is awaited, the rules are checked.
    """
    made = http_scope(method, target, _with_host(headers), scope or {})
    exchange = Exchange(app, made, timeout=timeout)
    exchange.start()
    try:
        yield exchange
        await exchange.leave()
    finally:
        await exchange.abandon()


def _with_host(headers: GivenHeaders, *more: Header) -> list[Header]:
    return request_headers(headers, (b"host", b"testserver"), *more)


def _headers(messages: list[Message]) -> tuple[Header, ...]:
    return tuple(
        (name, value) for message in messages for name, value in message.get("headers", ())
    )
