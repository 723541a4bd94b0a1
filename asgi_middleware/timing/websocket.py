"""Filling in the record of a WebSocket from its messages."""

from collections.abc import Callable

from .._responses import NORMAL_CLOSURE
from ..types import Message, Receive, Send
from .record import WebSocketTiming

# What servers send when an app closes a WebSocket that it has not accepted.
# https://asgi.readthedocs.io/en/latest/specs/www.html#close-send-event
FORBIDDEN = 403
# https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
NO_CODE, ABNORMAL_CLOSURE = 1005, 1006


class WebSocketExchange:
    """The ``receive`` and the ``send`` of a WebSocket, which keep its *record* up to date.

    *responded* is called once the handshake is refused, or either side has closed the socket.
    """

    def __init__(
        self,
        receive: Receive,
        send: Send,
        record: WebSocketTiming,
        responded: Callable[[WebSocketTiming], None],
    ) -> None:
        self._receive = receive
        self._send = send
        self._record = record
        self._responded = responded

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "websocket.disconnect" and self._record.outcome is None:
            # It may arrive while the app's close is being sent, with another code on some servers.
            if self._record.close_code is None:
                # https://asgi.readthedocs.io/en/latest/specs/www.html#disconnect-receive-event-ws
                self._record.close_code = message.get("code", NO_CODE)
            self._over()
        return message

    async def send(self, message: Message) -> None:
        record = self._record
        ends = record.outcome is None and self._ends(message)
        try:
            await self._send(message)
        except OSError:
            # ASGI lets a server raise it once the client has left.
            if record.outcome is None:
                record.close_code, record.status = ABNORMAL_CLOSURE, None
                self._over()
            raise
        if ends:
            self._over()
        elif message["type"] == "websocket.accept":
            record.accepted = record.clock() - record.started

    def _ends(self, message: Message) -> bool:
        """Note what *message* says, and tell whether it closes or refuses the socket."""
        kind = message["type"]
        if kind == "websocket.close":
            # It may be the second attempt, with a code that the server can send.
            self._record.close_code = message.get("code", NORMAL_CLOSURE)
            if self._record.accepted is None:
                self._record.status = FORBIDDEN
            return True
        if kind == "websocket.http.response.start":
            self._record.status = message["status"]
        return kind == "websocket.http.response.body" and not message.get("more_body", False)

    def _over(self) -> None:
        if self._record.ended(by_client=True):
            self._responded(self._record)
