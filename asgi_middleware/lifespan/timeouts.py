"""How long the parts of startup and shutdown may take."""

import time

# Seconds that each part has even after the deadline, to exit or to react to a cancellation.
PATIENCE = 1.0


class Deadline:
    """The time by which startup or shutdown must be complete."""

    def __init__(self, what: str, seconds: float) -> None:
        self._what = what
        self._seconds = seconds
        self._at = time.monotonic() + seconds

    def left(self, at_least: float = 0.0) -> float:
        return max(self._at - time.monotonic(), at_least)

    def missed(self, cause: BaseException | None = None) -> TimeoutError:
        """Return an error for the part that was still running; *cause* shows where it waited."""
        error = TimeoutError(f"{self._what} took more than {self._seconds:g} s")
        error.__cause__ = cause
        return error
