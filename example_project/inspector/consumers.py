"""The WebSocket of the example, for everybody."""

import json
import logging
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer

from asgi_middleware import get_request_id
from asgi_middleware.types import Receive, Scope, Send

logger = logging.getLogger(__name__)

# The close code for data that an endpoint cannot accept: https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1
UNSUPPORTED = 1003


class EchoConsumer(AsyncWebsocketConsumer):
    """Tells visitors who they are, then sends back the JSON that they send."""

    # No layer has this name. A consumer that talks to one visitor needs none, so it goes on
    # when Redis fails.
    channel_layer_alias = "none"

    async def connect(self) -> None:
        # The metrics need a pattern. Django keeps the one that matched, Channels does not.
        self.scope["state"]["timing"].route = "ws/echo/"
        await self.accept()
        # AuthMiddlewareStack finds the user by the session cookie of the handshake.
        user = self.scope["user"].get_username() or "anonymous"
        await self.send_json({"type": "welcome", "user": user, "request_id": get_request_id()})
        logger.info("welcomed %s", user)

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
    """Refuse the handshake. Servers turn a close before the accept into a 403."""
    await receive()  # websocket.connect
    await send({"type": "websocket.close"})
