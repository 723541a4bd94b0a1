"""The live view over a WebSocket."""

import json
import logging

from channels.generic.websocket import AsyncWebsocketConsumer

from asgi_middleware import get_request_id

from .access import may_watch
from .publisher import GROUP, PROCESS

logger = logging.getLogger(__name__)

# https://www.iana.org/assignments/websocket/websocket.xhtml#close-code-number
TRY_AGAIN_LATER = 1013


class LiveConsumer(AsyncWebsocketConsumer):
    """Send on what the processes publish, to those who may watch."""

    async def connect(self) -> None:
        self.scope["state"]["timing"].route = "ws/live/"
        if not may_watch(self.scope["user"]):
            await self.close()
            return
        await self.accept()
        try:
            await self.channel_layer.group_add(GROUP, self.channel_name)
        except Exception as error:  # noqa: BLE001 -- the layer's, whichever it is
            logger.warning("nobody to watch: %r", error)
            await self.close(TRY_AGAIN_LATER)
            return
        hello = {"type": "hello", "process": PROCESS, "request_id": get_request_id()}
        await self.send(text_data=json.dumps(hello))
        await self.send(text_data=json.dumps(self.scope["state"]["live"].counters()))

    async def disconnect(self, code: int) -> None:  # noqa: ARG002 -- Channels' signature
        await self.channel_layer.group_discard(GROUP, self.channel_name)

    async def live_message(self, event: dict[str, str]) -> None:
        await self.send(text_data=event["text"])
