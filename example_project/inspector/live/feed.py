"""Where the live view's events come from: a queue for which no request waits."""

import logging
from collections import deque
from collections.abc import Callable
from contextvars import ContextVar
from ipaddress import IPv6Address
from threading import RLock

from asgi_middleware import RequestIDFilter
from asgi_middleware.timing import RequestTiming, Timing

from .events import Event, event_of, event_of_line, is_of_staff

# The routes of the live view's own stream and WebSocket.
OWN_ROUTES = frozenset({"live/", "ws/live/"})

# The record of the request or WebSocket that the current code belongs to.
_current: ContextVar[Timing | None] = ContextVar("record", default=None)


class Feed:
    """Queues events to show, and counts the events that it has no room for.

    Each sender has a queue, and the queues take turns. Once *limit* events wait, the longest queue
    loses events, so a sender that floods the site hides only its own events. Staff have a queue of
    their own, with the same limit, which is always served first.

    It is an observer of ``TimingMiddleware``. :class:`FeedHandler` adds log lines.
    """

    def __init__(self, limit: int = 1000) -> None:
        self.served = 0
        self.in_flight = 0
        self.sockets = 0
        self.dropped = 0
        self._limit = limit
        # Functions that make the events only when these are taken, so that no request waits for it.
        self._staff: deque[Callable[[], Event]] = deque()
        self._queues: dict[str, deque[Callable[[], Event]]] = {}
        self._waiting = 0
        # Threads log lines, too. Reentrant: a line may be logged in the middle of logging another.
        self._lock = RLock()

    def started(self, record: Timing) -> None:
        _current.set(record)
        self._count(record, 1)

    def finished(self, record: Timing) -> None:
        self._count(record, -1)
        self.served += 1
        if not _is_own(record):
            self.put(lambda: event_of(record), record)

    def logged(self, line: logging.LogRecord) -> None:
        """Queue a line that belongs to a request, or to a job that has the ID of its request."""
        record = _current.get()
        request_id = record.request_id if record else getattr(line, "request_id", None)
        # A handler sets "-" if there is no ID.
        if record or request_id not in (None, "-"):
            event = event_of_line(line, request_id, record)
            self.put(lambda: event, record)

    def put(self, event: Callable[[], Event], record: Timing | None = None) -> None:
        with self._lock:
            if is_of_staff(record):
                if len(self._staff) < self._limit:
                    self._staff.append(event)
                else:
                    self.dropped += 1
                return
            sender = _sender(record)
            own = self._queues.get(sender, ())
            if self._waiting >= self._limit:
                self.dropped += 1
                longest = max(self._queues.values(), key=len)
                if len(own) >= len(longest):
                    return
                longest.pop()
                self._waiting -= 1
            self._queues.setdefault(sender, deque()).append(event)
            self._waiting += 1

    def take(self, most: int) -> list[Event]:
        """Remove and return at most *most* events: the oldest of each sender, in turn."""
        taken = []
        with self._lock:
            while self._staff and len(taken) < most:
                taken.append(self._staff.popleft())
            while self._queues and len(taken) < most:
                sender = next(iter(self._queues))
                queue = self._queues.pop(sender)
                taken.append(queue.popleft())
                self._waiting -= 1
                if queue:
                    self._queues[sender] = queue
        return [event() for event in taken]

    def _count(self, record: Timing, change: int) -> None:
        if isinstance(record, RequestTiming):
            self.in_flight += change
        else:
            self.sockets += change


def _is_own(record: Timing) -> bool:
    """Tell whether *record* is a live view's own. Refused ones are shown like all others."""
    if isinstance(record, RequestTiming):
        return record.route in OWN_ROUTES and record.status == 200
    return record.route in OWN_ROUTES and record.accepted is not None


def _sender(record: Timing | None) -> str:
    """Return the client's address or, with IPv6, its network: one client may have all of it."""
    client = record and record.scope.get("client")
    address = str(client[0]) if client else ""
    if ":" not in address:
        return address
    try:
        return IPv6Address(address).packed[:8].hex()
    except ValueError:
        return address


class FeedHandler(logging.Handler):
    """Passes log lines that belong to a request to a :class:`Feed`."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(logging.INFO)
        self._feed = feed
        self.addFilter(RequestIDFilter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._feed.logged(record)
        except Exception:  # noqa: BLE001 -- a line that cannot be formatted
            self.handleError(record)
