"""What must work before /readyz reports that this process is ready."""

from collections.abc import Callable

from django.db import connection


def database() -> None:
    """Raise an exception unless the database responds. Sync checks run in a thread of their own."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        # Use a new connection each time: an old one that still works proves little.
        connection.close()


checks: dict[str, Callable[[], object]] = {"database": database}
