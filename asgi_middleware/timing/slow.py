"""Warn of requests that take long, also of those that never end."""

import asyncio
import logging
from typing import cast

from .access_log import quoted_method, quoted_path
from .record import RequestTiming, Timing

logger = logging.getLogger(__name__)


class SlowRequests:
    """An observer with one WARNING when a request has run for *threshold* seconds, and one
    at its end.

    The first is the only trace of a request that hangs. It needs the event loop: where a
    view blocks that, there is the second alone. WebSockets are meant to last.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._timers: dict[Timing, asyncio.TimerHandle] = {}

    def started(self, record: Timing) -> None:
        if isinstance(record, RequestTiming):
            # In a copy of this context, so that the line has the request's ID.
            loop = asyncio.get_running_loop()
            self._timers[record] = loop.call_later(self._threshold, self._still_runs, record)

    def finished(self, record: Timing) -> None:
        timer = self._timers.pop(record, None)
        if timer is None or not isinstance(record, RequestTiming):
            return
        timer.cancel()
        duration = cast("float", record.duration)
        if duration >= self._threshold:
            logger.warning(
                "slow request: %s %s took %.3f s, outcome %s, route %s",
                quoted_method(record),
                quoted_path(record),
                duration,
                record.outcome,
                record.route,
            )

    def _still_runs(self, record: RequestTiming) -> None:
        # The response may be complete, and the app busy with something else.
        if record.duration is None:
            logger.warning(
                "slow request: %s %s still runs after %g s",
                quoted_method(record),
                quoted_path(record),
                self._threshold,
            )
