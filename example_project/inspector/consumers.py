"""A WebSocket, open to everybody, that sends back what it receives."""

import json
import logging
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from asgi_middleware import get_request_id

logger = logging.getLogger(__name__)

# Close codes: https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
UNSUPPORTED, POLICY, TOO_BIG = 1003, 1008, 1009
# Bytes per message, and messages per socket: a client that does not read must not fill the memory.
LARGEST, MOST = 4096, 1000


class EchoConsumer(AsyncWebsocketConsumer):
    """Tells visitors who they are, then sends back the JSON that they send."""

    # No channel layer has this name. A consumer that talks to one visitor needs no channel layer,
    # and then keeps working when Redis fails.
    channel_layer_alias = "none"
    received = 0

    async def connect(self) -> None:
        # Metrics need the URL pattern. Django keeps the pattern that matched; Channels does not.
        self.scope["state"]["timing"].route = "ws/echo/"
        await self.accept()
        # AuthMiddlewareStack takes the user from the session cookie of the handshake.
        user = self.scope["user"].get_username() or "anonymous"
        await self.send_json({"type": "welcome", "user": user, "request_id": get_request_id()})
        logger.info("welcomed %s", user)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.received += 1
        data = text_data.encode() if text_data is not None else bytes_data or b""
        if len(data) > LARGEST:
            return await self.close(TOO_BIG)
        if self.received > MOST:
            return await self.close(POLICY)
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):  # RecursionError for "[[[[…"
            return await self.close(UNSUPPORTED)
        await self.send_json({"type": "echo", "content": content})

    async def send_json(self, content: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(content))
