"""What an arm needs for each request that can be counted, on any machine alike.

Coroutines that are begun, tasks that are made, calls that go to another thread; and how many
coroutines one more message of a stream costs.
"""

import asyncio
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest

from asgi_middleware.testing import lifespan
from asgi_middleware.types import ASGIApp, Message
from benchmarks.in_process import INSTALLED, _scope, receive
from benchmarks.scenarios import ALLOWED, CORS, REQUEST_ID, STACK, TIMING, Arm, Scenario, answering


@dataclass(frozen=True)
class Counts:
    coroutines: int
    tasks: int = 0
    hops: int = 0


async def send(message: Message) -> None:
    pass


async def _called(app: ASGIApp) -> None:
    await app(_scope(Scenario("", (), (ALLOWED,))), receive, send)


async def counted(arm: Arm, messages: int) -> Counts:
    """Return what one request with so many messages needs, less what the app does."""
    bare = answering([b"data"] * messages)
    app = arm.wrap(bare)
    async with lifespan(app):
        await _called(app)  # what is made once for all
        ours = await _count(lambda: _called(app))
    theirs = await _count(lambda: _called(bare))
    return Counts(
        ours.coroutines - theirs.coroutines, ours.tasks - theirs.tasks, ours.hops - theirs.hops
    )


async def _count(call: Callable[[], Any]) -> Counts:
    loop: Any = asyncio.get_running_loop()
    # Kept, so that no two have the same identity.
    frames: dict[int, FrameType] = {}
    tasks = hops = 0

    def profile(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_flags & inspect.CO_COROUTINE:
            frames[id(frame)] = frame

    def make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> Any:
        nonlocal tasks
        tasks += 1
        return asyncio.Task(coroutine, loop=loop, **options)

    run_in_executor = loop.run_in_executor

    def hop(*args: Any) -> Any:
        nonlocal hops
        hops += 1
        return run_in_executor(*args)

    before = sys.getprofile()
    loop.set_task_factory(make_task)
    loop.run_in_executor = hop
    sys.setprofile(profile)
    try:
        await call()
    finally:
        sys.setprofile(before)
        loop.set_task_factory(None)
        del loop.run_in_executor
    return Counts(len(frames), tasks, hops)


# Of one request with one message, and of each message more.
OURS_COSTS = {
    # Its own call.
    "request ID": (REQUEST_ID, Counts(coroutines=1), 0),
    # One more around the last message, for the duration.
    "timing": (TIMING, Counts(coroutines=2), 0),
    # One more that edits the response.
    "CORS": (CORS, Counts(coroutines=2), 0),
    # The three, and the lifespan's two.
    "stack": (STACK, Counts(coroutines=7), 0),
}


@pytest.mark.parametrize("name", OURS_COSTS)
async def test_what_ours_costs(name: str) -> None:
    arms, of_a_request, of_a_message = OURS_COSTS[name]

    one, eleven = await counted(arms[0], messages=1), await counted(arms[0], messages=11)

    assert one == of_a_request
    assert eleven.coroutines - one.coroutines == 10 * of_a_message
    assert (eleven.tasks, eleven.hops) == (0, 0)


async def test_the_limit_is_one_function() -> None:
    [limit] = [arm for arm in STACK if arm.name == "the limit"]

    assert await counted(limit, messages=11) == Counts(coroutines=2)


PEERS = [arm for arm in (*REQUEST_ID, *CORS, *STACK) if arm.needs]


@pytest.mark.parametrize("arm", PEERS, ids=[arm.name for arm in PEERS])
async def test_a_message_costs_each_peer_a_coroutine_or_more(arm: Arm) -> None:
    if missing := [name for name in arm.needs if name not in INSTALLED]:
        pytest.skip(f"not installed: {', '.join(missing)}")

    one, eleven = await counted(arm, messages=1), await counted(arm, messages=11)

    assert eleven.coroutines - one.coroutines >= 10
