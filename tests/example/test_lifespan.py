"""What the process opens and closes."""

from datetime import UTC, datetime

import pytest

from example_project.lifespan import uptime


async def test_the_state_tells_since_when_the_process_serves() -> None:
    before = datetime.now(UTC)

    async with uptime({}) as yielded:
        assert before <= yielded["started_at"] <= datetime.now(UTC)


async def test_opening_and_closing_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="example_project.lifespan")

    async with uptime({}):
        pass

    assert [message.partition(":")[0] for message in caplog.messages] == ["open", "closed"]
