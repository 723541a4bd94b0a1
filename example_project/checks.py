"""What has to answer before /readyz says that this process may be sent requests."""

from collections.abc import Callable

from django.db import connection


def database() -> None:
    """Raise unless the database answers. Runs in a thread of its own, as it is no coroutine."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    finally:
        # A new one each time: that the last one still works says little of the next.
        connection.close()


checks: dict[str, Callable[[], object]] = {"database": database}
