"""How long the parts of startup and shutdown may take."""

import time

# Seconds that a part has after the deadline: to exit, and to react to a cancellation.
PATIENCE = 1.0


class Deadline:
    """The end of the time that startup, or shutdown, has as a whole."""

    def __init__(self, what: str, seconds: float) -> None:
        self._what = what
        self._seconds = seconds
        self._at = time.monotonic() + seconds

    def left(self, at_least: float = 0.0) -> float:
        return max(self._at - time.monotonic(), at_least)

    def missed(self, cause: BaseException | None = None) -> TimeoutError:
        """Return the error of the part that was running; *cause* shows where it waited."""
        error = TimeoutError(f"{self._what} took more than {self._seconds:g} s")
        error.__cause__ = cause
        return error
