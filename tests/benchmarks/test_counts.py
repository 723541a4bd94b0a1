"""The costs of an arm that can be counted, so they are the same on every machine.

For one request, count coroutines, tasks and thread switches. For each further message of a
stream, count coroutines.
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
from benchmarks.scenarios import ALLOWED, CORS, REQUEST_ID, STACK, TIMING, Arm, Scenario, bare_app


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
    """Return what one request with so many *messages* costs, minus the cost of the app."""
    bare = bare_app([b"data"] * messages)
    app = arm.wrap(bare)
    async with lifespan(app):
        await _called(app)  # the first request creates what later ones share
        ours = await _count(lambda: _called(app))
    theirs = await _count(lambda: _called(bare))
    return Counts(
        ours.coroutines - theirs.coroutines, ours.tasks - theirs.tasks, ours.hops - theirs.hops
    )


async def _count(call: Callable[[], Any]) -> Counts:
    loop: Any = asyncio.get_running_loop()
    # The frames are kept so that no two of them have the same id.
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


# The costs of a request with one message, and of each further message.
COSTS = {
    # The call of the middleware.
    "request ID": (REQUEST_ID, Counts(coroutines=1), 0),
    # A second one around the last message, to measure the duration.
    "timing": (TIMING, Counts(coroutines=2), 0),
    # A second one that edits the response.
    "CORS": (CORS, Counts(coroutines=2), 0),
    # The sum of these three, and two for lifespan.
    "stack": (STACK, Counts(coroutines=7), 0),
}


@pytest.mark.parametrize("name", COSTS)
async def test_our_middleware_costs_these_coroutines_and_no_task(name: str) -> None:
    arms, of_a_request, of_a_message = COSTS[name]

    one, eleven = await counted(arms[0], messages=1), await counted(arms[0], messages=11)

    assert one == of_a_request
    assert eleven.coroutines - one.coroutines == 10 * of_a_message
    assert (eleven.tasks, eleven.hops) == (0, 0)


async def test_the_limit_costs_two_coroutines() -> None:
    [limit] = [arm for arm in STACK if arm.name == "the limit"]

    assert await counted(limit, messages=11) == Counts(coroutines=2)


PEERS = [arm for arm in (*REQUEST_ID, *CORS, *STACK) if arm.needs]


@pytest.mark.parametrize("arm", PEERS, ids=[arm.name for arm in PEERS])
async def test_a_message_costs_every_peer_at_least_one_coroutine(arm: Arm) -> None:
    if missing := [name for name in arm.needs if name not in INSTALLED]:
        pytest.skip(f"not installed: {', '.join(missing)}")

    one, eleven = await counted(arm, messages=1), await counted(arm, messages=11)

    assert eleven.coroutines - one.coroutines >= 10
