"""Work that no visitor waits for: it runs in the background after a note has been saved."""

import logging
from contextlib import suppress
from functools import partial

from channels.db import database_sync_to_async
from channels.layers import get_channel_layer

from asgi_middleware import get_tasks

from .models import Note

logger = logging.getLogger(__name__)

# The group of everybody who is watching. It spans all processes if they share Redis.
GROUP = "notes"
KEPT = 100


def start_tasks(note: Note) -> None:
    """Start the tasks for a new note. Under WSGI nothing could run them, so they are skipped."""
    with suppress(LookupError):
        tasks = get_tasks()
        tasks.spawn(partial(announce, note.pk, note.text), name="announce", restart="never")
        tasks.spawn(forget_old_notes)


async def announce(pk: int, text: str) -> None:
    """Send a note to everybody who is watching."""
    message = {"type": "note.saved", "note": {"id": pk, "text": text}}
    await get_channel_layer().group_send(GROUP, message)


@database_sync_to_async
def forget_old_notes() -> None:
    """Keep only the latest notes."""
    old = Note.objects.values("pk")[KEPT:]
    _, deleted = Note.objects.filter(pk__in=old).delete()
    logger.info("forgot %d old notes", deleted.get("notes.Note", 0))
