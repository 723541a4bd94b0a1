"""What the process opens and closes."""

import asyncio
from datetime import UTC, datetime

import pytest

from asgi_middleware.testing import lifespan
from asgi_middleware.types import ASGIApp
from example_project.inspector.lifespan import client
from example_project.lifespan import uptime


async def test_the_state_has_the_time_of_the_startup() -> None:
    before = datetime.now(UTC)

    async with uptime({}) as yielded:
        assert before <= yielded["started_at"] <= datetime.now(UTC)


async def test_the_opening_and_closing_of_a_context_are_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="example_project.lifespan")

    async with uptime({}):
        pass

    assert [message.partition(":")[0] for message in caplog.messages] == ["open", "closed"]


async def test_the_client_is_open_while_the_process_serves() -> None:
    async with client({}) as yielded:
        assert not yielded["client"].is_closed

    assert yielded["client"].is_closed


async def test_the_ticker_ticks_while_the_process_serves(application: ASGIApp) -> None:
    async with lifespan(application) as running, asyncio.timeout(30):
        ticker = running.state["ticker"]
        # It may have ticked during a slow startup.
        first, second = await ticker.next(), await ticker.next()
        assert second == first + 1


async def test_the_ticker_ends_with_the_process(application: ASGIApp) -> None:
    async with lifespan(application):
        assert "ticker" in _names_of_tasks()

    assert "ticker" not in _names_of_tasks()


def _names_of_tasks() -> list[str]:
    return [task.get_name() for task in asyncio.all_tasks()]
