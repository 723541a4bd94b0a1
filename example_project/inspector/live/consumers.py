"""The live view over a WebSocket."""

import json
import logging
from contextlib import suppress

from channels.generic.websocket import AsyncWebsocketConsumer

from asgi_middleware import get_request_id, get_state
from asgi_middleware.types import Receive, Scope, Send

from .access import may_watch
from .publisher import GROUP, PROCESS

logger = logging.getLogger(__name__)

# https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number
TRY_AGAIN_LATER = 1013


class LiveConsumer(AsyncWebsocketConsumer):
    """Passes on what the processes publish, to visitors who may watch."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        except Exception as error:  # noqa: BLE001 -- whatever the channel layer raises
            # The page shows that it is not connected, and reconnects.
            logger.warning("a live view ended early: %r", error)
            with suppress(Exception):
                await send({"type": "websocket.close", "code": TRY_AGAIN_LATER})

    async def connect(self) -> None:
        self.scope["state"]["timing"].route = "ws/live/"
        if not may_watch(self.scope["user"]):
            await self.close()
            return
        await self.accept()
        await self.channel_layer.group_add(GROUP, self.channel_name)
        hello = {"type": "hello", "process": PROCESS, "request_id": get_request_id()}
        await self.send(text_data=json.dumps(hello))
        await self.send(text_data=json.dumps(get_state()["live"].counters()))

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 -- Channels' signature
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def live_message(self, event: dict[str, str]) -> None:
        await self.send(text_data=event["text"])
