"""Drive an app with one WebSocket."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from ..types import ASGIApp, Header, Message
from ._call import Call
from ._lint import WebSocketLint
from ._scope import GivenHeaders, request_headers, websocket_scope


class HandshakeRefused(Exception):  # noqa: N818 -- an answer, not an error of the client's
    """The app did not accept the WebSocket.

    ``status`` is 403 when it closed the socket instead, and ``code`` is what it closed
    it with; ``headers`` and ``body`` are there when it sent a response of its own.
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

    def __init__(self, call: Call, lint: WebSocketLint) -> None:
        self._call = call
        self._lint = lint
        self._read = 0
        self.subprotocol: str | None = None
        self.headers: tuple[Header, ...] = ()

    async def send(self, data: str | bytes) -> None:
        """Let the app receive a text message or a binary one."""
        key = "text" if isinstance(data, str) else "bytes"
        self._call.put({"type": "websocket.receive", key: data})

    async def receive(self) -> str | bytes:
        """Return what the app sends next. Raises :class:`SocketClosed` if it closes."""
        message = await self._message()
        if message["type"] == "websocket.close":
            raise SocketClosed(message.get("code", 1000), message.get("reason") or "")
        text = message.get("text")
        return cast("str | bytes", message["bytes"] if text is None else text)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the socket from the client's side."""
        self._disconnect(code, reason)

    def cancel(self) -> None:
        """Cancel the app's task, as a server does that is out of patience."""
        self._call.cancel()

    async def handshake(self) -> None:
        """Wait for the app's answer. Raises :class:`HandshakeRefused`."""
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
                await self._call.until(lambda: self._lint.closed, "end of the denial response")
                self._disconnect(1006, "")
                body = b"".join(m.get("body", b"") for m in self._call.sent[1:])
                headers = tuple(message.get("headers", ()))
                raise HandshakeRefused(message["status"], headers, body)

    async def finish(self) -> None:
        """Close the socket if nobody has, wait for the end of the app, check the rules.

        An app that is cancelled hears of nothing else.
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
) -> AsyncGenerator[Socket]:
    """Open a WebSocket, and close it at the end of the block.

        async with websocket(app, "/ws/echo/") as socket:
            await socket.send("hello")
            assert await socket.receive() == "hello"

    Raises :class:`HandshakeRefused` when the app does not accept, otherwise as
    :func:`request` does. The server offers the denial response extension;
    ``scope={"extensions": {}}`` takes it away.
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
    call = Call(app, made, timeout=timeout)
    lint = WebSocketLint(made, call.witness.spelled)
    socket = Socket(call, lint)
    call.start(lint)
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
