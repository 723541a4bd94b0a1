"""Warnings about requests that take long or never end."""

import asyncio
import logging
from typing import cast

from .. import _options as options
from .labels import cut
from .quoting import quoted_method, quoted_path
from .record import RequestTiming, Timing

logger = logging.getLogger(__name__)


class SlowRequestLog:
    """An observer that logs a WARNING when a request has run for *threshold* seconds, and another
    when it has its response.

    The first warning is the only sign of a request that hangs. It needs the event loop: if a view
    blocks the loop, there is only the second one. WebSockets are meant to last, so they are not
    logged.
    """

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._timers: dict[Timing, asyncio.TimerHandle] = {}

    def __repr__(self) -> str:
        return options.repr_of(self, threshold=self._threshold)

    def started(self, record: Timing) -> None:
        if isinstance(record, RequestTiming):
            # The timer runs in a copy of this context, so its line has the ID of the request.
            loop = asyncio.get_running_loop()
            self._timers[record] = loop.call_later(self._threshold, self._warn, record)

    def responded(self, record: Timing) -> None:
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
                cut(record.route),
            )

    def finished(self, record: Timing) -> None:
        """Do nothing: what the app does after its response keeps nobody waiting."""

    def _warn(self, record: RequestTiming) -> None:
        logger.warning(
            "slow request: %s %s is still running after %g s",
            quoted_method(record),
            quoted_path(record),
            self._threshold,
        )
