"""Send one HTTP request to an app, at once or in parts."""

import json
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from .._headers import values
from .._messages import HTTP_DISCONNECT
from ..types import ASGIApp, Header, Message
from ._call import AppCall
from ._lint import HTTPLint
from ._scope import GivenHeaders, http_scope, request_headers


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """What the app sent. If it sent nothing, ``status`` is None and ``complete`` is False.

    ``headers`` keep the order and the spelling in which they were sent. ``messages`` is
    everything that the app sent, ``exception`` is what it raised. ``awaits`` is the number of
    its calls of ``receive`` and ``send``, the highest number that makes sense for
    ``disconnect_at`` and ``cancel_at``. ``receives`` counts the calls of ``receive``,
    ``receives_after_disconnect`` only the calls after it had returned ``http.disconnect``.
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
        """Return the values of all headers called *name*, in any case."""
        return values(self.headers, name.lower())

    def get(self, name: bytes) -> bytes | None:
        """Return the value of the header called *name*, or None if there is none.

        Raises ValueError if there is more than one.
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


class OpenRequest:
    """A request in progress, from the client's side; made by :func:`stream`."""

    def __init__(
        self, app: ASGIApp, scope: dict[str, Any], *, timeout: float, strict: bool
    ) -> None:
        self._call = AppCall(app, scope, HTTPLint, timeout=timeout, strict=strict)
        self._call.on_sent = self._after_message
        self._read = 0

    def start(self, *, disconnect_at: int | None = None, cancel_at: int | None = None) -> None:
        if disconnect_at is not None:
            self._call.at[disconnect_at] = self.disconnect
        if cancel_at is not None:
            self._call.at[cancel_at] = self.cancel
        self._call.start()

    def send_body(self, body: bytes, *, more_body: bool = True) -> None:
        """Let the app receive *body*; pass ``more_body=False`` with the last part."""
        self._call.put({"type": "http.request", "body": body, "more_body": more_body})

    def disconnect(self) -> None:
        """Disconnect the client: the app receives only ``http.disconnect`` from now on."""
        self._call.finish_with(dict(HTTP_DISCONNECT), discard=True)

    def cancel(self) -> None:
        """Cancel the task of the app, as an impatient server does."""
        self._call.cancel()

    async def message(self) -> Message:
        """Return the next message that the app sends."""
        number = self._read
        await self._call.until(lambda: len(self._call.sent) > number, f"message {number + 1}")
        self._read += 1
        return self._call.sent[number]

    async def finish(self) -> Response:
        """Wait until the app has ended, check the rules, and return the response."""
        await self._call.join()
        self._call.verify()
        if self._call.end is None and self._call.exception is None:
            self._call.lint.ended()
        return self._response()

    async def leave(self) -> None:
        """Disconnect if the app still runs, wait until it has ended, and check the rules.

        Raises what the app raised. An app that was cancelled does not receive a disconnect.
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
        if self._call.lint.complete:
            self._call.finish_with(dict(HTTP_DISCONNECT), discard=True)

    def _response(self) -> Response:
        starts = [m for m in self._call.sent if m["type"] == "http.response.start"]
        bodies = [m for m in self._call.sent if m["type"] == "http.response.body"]
        trailers = [m for m in self._call.sent if m["type"] == "http.response.trailers"]
        return Response(
            status=starts[0]["status"] if starts else None,
            headers=_headers(starts),
            body=b"".join(message.get("body", b"") for message in bodies),
            trailers=_headers(trailers),
            complete=self._call.lint.complete,
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
    strict: bool = False,
) -> Response:
    """Send one request and return the response, once the app has ended.

    *target* is a percent-encoded path, with or without a query. A *body* in parts arrives as
    one message for each part. *scope* holds changes to the scope. The app's calls of ``receive``
    and ``send`` are counted from 1: at call *disconnect_at* the client disconnects, at call
    *cancel_at* the server cancels the app.

    As on a server, the app receives the body once, then nothing until the response is complete,
    then ``http.disconnect``. Raises :class:`ASGIViolation` for a broken rule, what the app
    raised unless *raise_app_exceptions* is false, and TimeoutError after *timeout* seconds.

    With *strict*, header names must be in lower case, and nobody may edit the scope in place, as
    ASGI requires. Django and Starlette break these rules, and servers tolerate that.
    """
    parts = [body] if isinstance(body, bytes) else list(body)
    about_body = ((b"content-length", str(len(parts[0])).encode()),) if parts[0] else ()
    if len(parts) > 1:
        about_body = ((b"transfer-encoding", b"chunked"),)
    made = http_scope(method, target, _with_host(headers, *about_body), scope or {})
    opened = OpenRequest(app, made, timeout=timeout, strict=strict)
    for number, part in enumerate(parts, start=1):
        opened.send_body(part, more_body=number < len(parts))
    opened.start(disconnect_at=disconnect_at, cancel_at=cancel_at)
    try:
        response = await opened.finish()
    finally:
        await opened.abandon()
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
    strict: bool = False,
) -> AsyncGenerator[OpenRequest]:
    """Send a request in parts, and read the response in parts.

        async with stream(app, "POST", "/upload") as upload:
            upload.send_body(b"first part")
            upload.send_body(b"last part", more_body=False)
            start = await upload.message()

    A GET also needs a last part, which is empty. At the end of the block, the client disconnects
    unless the response is complete; then the app is awaited and the rules are checked.
    """
    made = http_scope(method, target, _with_host(headers), scope or {})
    opened = OpenRequest(app, made, timeout=timeout, strict=strict)
    opened.start()
    try:
        yield opened
        await opened.leave()
    finally:
        await opened.abandon()


def _with_host(headers: GivenHeaders, *more: Header) -> list[Header]:
    return request_headers(headers, (b"host", b"testserver"), *more)


def _headers(messages: list[Message]) -> tuple[Header, ...]:
    return tuple(
        (name, value) for message in messages for name, value in message.get("headers", ())
    )
