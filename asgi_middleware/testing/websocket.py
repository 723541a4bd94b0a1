"""Open one WebSocket to an app."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from ..types import ASGIApp, Header, Message
from ._call import AppCall
from ._lint import WebSocketLint
from ._scope import GivenHeaders, request_headers, websocket_scope


class HandshakeRefused(Exception):  # noqa: N818 -- a response, not an error of the client
    """The app did not accept the WebSocket.

    If the app closed the socket, ``code`` is the close code, and ``status`` is 403, which is what
    servers then send. If it sent a response of its own, ``status``, ``headers`` and ``body`` are
    from that response.
    """

    def __init__(
        self,
        status: int,
        headers: tuple[Header, ...] = (),
        body: bytes = b"",
        code: int | None = None,
    ) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.code = code
        super().__init__(f"the handshake was refused with {status}, close code {code}")


class SocketClosed(Exception):  # noqa: N818
    """The app has closed the WebSocket, with ``code`` and ``reason``."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"the app closed the socket with {code} {reason!r}")


class Socket:
    """A WebSocket that the app has accepted; made by :func:`websocket`."""

    def __init__(self, call: AppCall[WebSocketLint]) -> None:
        self._call = call
        self._read = 0
        self.subprotocol: str | None = None
        self.headers: tuple[Header, ...] = ()

    async def send(self, data: str | bytes) -> None:
        """Let the app receive a text or binary message."""
        key = "text" if isinstance(data, str) else "bytes"
        self._call.put({"type": "websocket.receive", key: data})

    async def receive(self) -> str | bytes:
        """Return what the app sends next. Raises :class:`SocketClosed` if that is a close."""
        message = await self._message()
        if message["type"] == "websocket.close":
            raise SocketClosed(message.get("code", 1000), message.get("reason") or "")
        text = message.get("text")
        return cast("str | bytes", message["bytes"] if text is None else text)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket from the client's side."""
        self._disconnect(code, reason)

    def cancel(self) -> None:
        """Cancel the task of the app, as an impatient server does."""
        self._call.cancel()

    async def handshake(self) -> None:
        """Wait until the app accepts. Raises :class:`HandshakeRefused` if it does not."""
        self._call.put({"type": "websocket.connect"})
        message = await self._message()
        match message["type"]:
            case "websocket.accept":
                self.subprotocol = message.get("subprotocol")
                self.headers = tuple(message.get("headers", ()))
            case "websocket.close":
                self._disconnect(1006, "")
                raise HandshakeRefused(403, code=message.get("code", 1000))
            case _:
                await self._call.until(
                    lambda: self._call.lint.closed, "the end of the denial response"
                )
                self._disconnect(1006, "")
                body = b"".join(m.get("body", b"") for m in self._call.sent[1:])
                headers = tuple(message.get("headers", ()))
                raise HandshakeRefused(message["status"], headers, body)

    async def finish(self) -> None:
        """Close the socket if it is open, wait until the app has ended, and check the rules.

        An app that was cancelled does not receive a disconnect.
        """
        if not self._call.cancelled:
            self._disconnect(1000, "")
        await self._call.join()
        self._call.verify()
        self._call.raise_failure()

    async def _message(self) -> Message:
        number = self._read
        await self._call.until(lambda: len(self._call.sent) > number, f"message {number + 1}")
        self._read += 1
        return self._call.sent[number]

    def _disconnect(self, code: int, reason: str) -> None:
        message = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self._call.finish_with(message, discard=False)


@asynccontextmanager
async def websocket(
    app: ASGIApp,
    target: str = "/",
    *,
    headers: GivenHeaders = (),
    subprotocols: Sequence[str] = (),
    scope: Mapping[str, Any] | None = None,
    timeout: float = 10.0,
    strict: bool = False,
) -> AsyncGenerator[Socket]:
    """Open a WebSocket and close it at the end of the block.

        async with websocket(app, "/ws/echo/") as socket:
            await socket.send("hello")
            assert await socket.receive() == "hello"

    Raises :class:`HandshakeRefused` if the app does not accept, and the same errors as
    :func:`request`; *strict* works as there. The app may use the denial response extension, unless
    you pass ``scope={"extensions": {}}``.
    """
    made = websocket_scope(
        target,
        request_headers(
            headers,
            (b"host", b"testserver"),
            (b"connection", b"Upgrade"),
            (b"upgrade", b"websocket"),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        ),
        subprotocols,
        scope or {},
    )
    call = AppCall(app, made, WebSocketLint, timeout=timeout, strict=strict)
    socket = Socket(call)
    call.start()
    try:
        try:
            await socket.handshake()
        except HandshakeRefused:
            await socket.finish()
            raise
        yield socket
        await socket.finish()
    finally:
        await call.stop()
