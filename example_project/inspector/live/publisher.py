"""Sends the feed of this process to everybody who is watching, in any process."""

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from channels.layers import get_channel_layer

from asgi_middleware import Readiness, ThreadPool

from .feed import Feed, FeedHandler

logger = logging.getLogger(__name__)

GROUP = "live"
# How many seconds pass between two looks at the feed, and the most events that a message has.
INTERVAL = 0.2
BATCH = 200
# The counters are sent once in this many looks. They also show that this process is alive.
COUNTERS_EVERY = 5

PROCESS = f"{socket.gethostname()}:{os.getpid()}"


async def publish(message: dict[str, Any]) -> None:
    """Send *message* to everybody who is watching."""
    event = {"type": "live.message", "text": json.dumps(message)}
    await get_channel_layer().group_send(GROUP, event)


class Publisher:
    """Publishes the events of the feed: a context of ``LifespanMiddleware``."""

    def __init__(self, feed: Feed, pool: ThreadPool, readiness: Readiness) -> None:
        self._feed = feed
        self._pool = pool
        self._readiness = readiness

    @asynccontextmanager
    async def __call__(self, state: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        handler = FeedHandler(self._feed)
        logging.getLogger().addHandler(handler)
        state["tasks"].spawn(self.run, name="live view", restart="always")
        try:
            yield {"live": self}
        finally:
            logging.getLogger().removeHandler(handler)

    async def run(self) -> None:
        """Publish forever, even if the channel layer fails for a while."""
        looks, interrupted = 0, False
        while True:
            messages = [self.counters()] if not looks else []
            looks = (looks + 1) % COUNTERS_EVERY
            if events := self._feed.take(BATCH):
                named = [{**event, "process": PROCESS} for event in events]
                messages.append({"type": "events", "events": named})
            try:
                for message in messages:
                    await publish(message)
                interrupted = interrupted and not messages
            except Exception as error:  # noqa: BLE001 -- whatever the layer raises
                if not interrupted:  # warn once, not five times a second
                    logger.warning("the live view is interrupted: %r", error)
                interrupted = True
            await asyncio.sleep(INTERVAL)

    def counters(self) -> dict[str, Any]:
        """Return the message with the current figures of this process."""
        threads = self._pool.statistics()
        return {
            "type": "counters",
            "process": PROCESS,
            "served": self._feed.served,
            "in_flight": self._feed.in_flight,
            "sockets": self._feed.sockets,
            "threads": threads.leased,
            "waiting": threads.waiting,
            "ready": self._readiness.ready,
            "dropped": self._feed.dropped,
        }
