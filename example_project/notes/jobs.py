"""Work that views leave to the background, with ``get_tasks().spawn(...)``."""

import logging

from channels.db import database_sync_to_async

from .models import Note

logger = logging.getLogger(__name__)

KEPT = 100


@database_sync_to_async
def forget_old_notes() -> None:
    """Keep only the latest notes. The visitor who saves one does not wait for this."""
    old = Note.objects.values("pk")[KEPT:]
    _, deleted = Note.objects.filter(pk__in=old).delete()
    logger.info("forgot %d old notes", deleted.get("notes.Note", 0))
