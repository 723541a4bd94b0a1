import asyncio
from collections.abc import AsyncIterator

import pytest

from example_project.inspector.ticker import Ticker


@pytest.fixture
async def ticker() -> AsyncIterator[Ticker]:
    ticker = Ticker(interval=0.01)
    task = asyncio.create_task(ticker.run())
    async with asyncio.timeout(30):
        yield ticker
    task.cancel()
    await asyncio.wait({task})


async def test_ticks_are_counted(ticker: Ticker) -> None:
    assert [await ticker.next(), await ticker.next(), await ticker.next()] == [1, 2, 3]
    assert ticker.count == 3


async def test_one_tick_wakes_everybody_who_waits(ticker: Ticker) -> None:
    first, second = await asyncio.gather(ticker.next(), ticker.next())

    assert (first, second) == (1, 1)
