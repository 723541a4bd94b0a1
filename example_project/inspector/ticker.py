"""A clock that all requests share."""

import asyncio


class Ticker:
    """Ticks in one task, and wakes everybody who waits for the next tick.

    ``count`` is the number of ticks so far. *interval* is in seconds.
    """

    def __init__(self, interval: float = 1.0) -> None:
        self.count = 0
        self._interval = interval
        self._next = asyncio.Event()

    async def run(self) -> None:
        """Tick forever."""
        while True:
            await asyncio.sleep(self._interval)
            self.count += 1
            self._next.set()
            self._next = asyncio.Event()

    async def next(self) -> int:
        """Wait for the next tick, and return its number."""
        await self._next.wait()
        return self.count
