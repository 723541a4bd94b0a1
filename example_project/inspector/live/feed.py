"""Where the live view's events begin: a queue that no request waits for."""

import logging
from collections import deque
from collections.abc import Callable
from threading import RLock

from asgi_middleware import RequestIDFilter
from asgi_middleware.timing import Timing

from .events import Event, event_of, event_of_line

# The live view's own stream and WebSocket, which it does not show.
OWN_PATHS = frozenset({"/live/", "/ws/live/"})


class Feed:
    """Queues up to *limit* events to show, and counts those that it has no room for.

    It is an observer of ``TimingMiddleware``. :class:`FeedHandler` adds log lines.
    """

    def __init__(self, limit: int = 1000) -> None:
        self.in_flight = 0
        self.dropped = 0
        self._limit = limit
        # They become events only when they are taken, so that no request waits for that.
        self._waiting: deque[Callable[[], Event]] = deque()
        # Threads log lines too, and one line may be logged in the middle of another.
        self._lock = RLock()
        self._own: set[str | None] = set()

    def started(self, record: Timing) -> None:
        if record.scope["path"] in OWN_PATHS:
            self._own.add(record.request_id)
        else:
            self.in_flight += 1

    def finished(self, record: Timing) -> None:
        if record.scope["path"] in OWN_PATHS:
            self._own.discard(record.request_id)
        else:
            self.in_flight -= 1
            self.put(lambda: event_of(record))

    def logged(self, line: logging.LogRecord, request_id: str) -> None:
        if request_id not in self._own:
            event = event_of_line(line, request_id)
            self.put(lambda: event)

    def put(self, event: Callable[[], Event]) -> None:
        with self._lock:
            if len(self._waiting) < self._limit:
                self._waiting.append(event)
            else:
                self.dropped += 1

    def take(self, most: int) -> list[Event]:
        """Remove the events that have waited longest, at most *most*, and return them."""
        with self._lock:
            events = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        return [event() for event in events]


class FeedHandler(logging.Handler):
    """Passes log lines that belong to a request to a :class:`Feed`."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(logging.INFO)
        self._feed = feed
        self.addFilter(RequestIDFilter(default_value=""))

    def emit(self, record: logging.LogRecord) -> None:
        request_id: str = record.request_id  # type: ignore[attr-defined]
        if request_id not in ("", "-"):
            try:
                self._feed.logged(record, request_id)
            except Exception:  # noqa: BLE001 -- a line that cannot be formatted
                self.handleError(record)
