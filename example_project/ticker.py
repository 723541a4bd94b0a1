"""A clock for everybody."""

import asyncio


class Ticker:
    """Counts seconds in one task, and wakes all that wait for the next.

    ``count`` is what it has come to.
    """

    def __init__(self, interval: float = 1.0) -> None:
        self.count = 0
        self._interval = interval
        self._next = asyncio.Event()

    async def run(self) -> None:
        """Tick without an end."""
        while True:
            await asyncio.sleep(self._interval)
            self.count += 1
            self._next.set()
            self._next = asyncio.Event()

    async def next(self) -> int:
        """Return the next count, once it has come."""
        await self._next.wait()
        return self.count
