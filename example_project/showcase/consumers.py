"""What is said over a WebSocket."""

import json
import logging
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from asgi_middleware import get_request_id
from asgi_middleware.types import Receive, Scope, Send

logger = logging.getLogger(__name__)

# "Data of a type that I cannot accept": https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
UNSUPPORTED = 1003


class EchoConsumer(AsyncWebsocketConsumer):
    """Tell visitors who they are, then send back the JSON that they send."""

    # None has that name. Who talks to one visitor only needs no layer, and does not end where a
    # Redis does.
    channel_layer_alias = "none"

    async def connect(self) -> None:
        # Channels keeps no pattern, as Django does of a request; the metrics want one.
        self.scope["state"]["timing"].route = "ws/echo/"
        await self.accept()
        # AuthMiddlewareStack knows the user by the session's cookie in the handshake.
        user = self.scope["user"].get_username() or "anonymous"
        await self.send_json({"type": "welcome", "user": user, "request_id": get_request_id()})
        logger.info("said welcome to %s", user)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        try:
            content = json.loads(text_data or bytes_data or "")
        except ValueError:
            await self.close(UNSUPPORTED)
        else:
            await self.send_json({"type": "echo", "content": content})

    async def send_json(self, content: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(content))


async def no_such_path(_scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse the handshake. Servers make a 403 of a close that comes before the accept."""
    await receive()  # websocket.connect
    await send({"type": "websocket.close"})
