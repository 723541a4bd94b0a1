"""Notes over a WebSocket: each client gets every note as it is saved, and can send its own."""

import json
from typing import Any, ClassVar

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from asgi_middleware import get_request_id

from .forms import NoteForm
from .tasks import GROUP, start_tasks


class NotesConsumer(AsyncWebsocketConsumer):
    """Takes the text of a note in each message, and sends JSON."""

    groups: ClassVar = [GROUP]

    async def connect(self) -> None:
        # Metrics need the URL pattern. Django keeps the pattern that matched; Channels does not.
        self.scope["state"]["timing"].route = "ws/notes/"
        await self.accept()
        # AuthMiddlewareStack takes the user from the session cookie of the handshake.
        user = self.scope["user"].get_username() or "anonymous"
        await self.send_json({"user": user, "request_id": get_request_id()})

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        text = text_data if bytes_data is None else ""
        if errors := await self.save(text or ""):
            await self.send_json({"errors": errors})

    @database_sync_to_async
    def save(self, text: str) -> list[str]:
        form = NoteForm({"text": text})
        if form.is_valid():
            start_tasks(form.save())
        return form.errors.get("text", [])

    async def note_saved(self, event: dict[str, Any]) -> None:
        """Pass on a note that a task has announced. Channels calls this for type note.saved."""
        await self.send_json({"note": event["note"]})

    async def send_json(self, content: dict[str, Any]) -> None:
        await self.send(text_data=json.dumps(content))
