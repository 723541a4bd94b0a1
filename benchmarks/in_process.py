"""Time the scenarios within this process: on a real event loop, without a server or a socket.

Requests follow one another in one task, as on a kept-alive connection. They never wait, so all the
time is spent in the code of the app and of the middleware around it.
"""

import gc
import re
import tracemalloc
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.metadata import distributions
from time import perf_counter
from typing import Any

import asgi_middleware
from asgi_middleware.testing import lifespan
from asgi_middleware.testing._scope import http_scope
from asgi_middleware.types import ASGIApp, Message

from .scenarios import OURS, REQUEST_HEADERS, Arm, Scenario, bare_app

# In seconds. A request that takes longer is warmed up with one run instead of twenty.
_LONG = 0.01

INSTALLED = {
    **{each.name.lower(): each.version for each in distributions()},
    OURS: asgi_middleware.__version__,
}


class WrongResponseError(Exception):
    """An arm does not respond as the scenario says, so its time means nothing."""


@dataclass(frozen=True)
class Result:
    """The seconds per request in each round, of each arm and of the floor, which is the bare app.

    *peak* is how many more bytes than the bare app an arm has allocated at once during a request.
    """

    scenario: Scenario
    floor: list[float] = field(default_factory=list[float])
    arms: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    peak: dict[str, int] = field(default_factory=dict[str, int])
    left_out: dict[str, str] = field(default_factory=dict[str, str])


async def measure(scenario: Scenario, rounds: int, seconds: float) -> Result:
    """Start each arm and check its response, then time them all in turns of about *seconds*.

    Raises :class:`WrongResponseError`.
    """
    result = Result(scenario)
    bare = bare_app(scenario.chunks)
    turns = [(bare, result.floor)]
    async with AsyncExitStack() as running:
        for arm in scenario.arms:
            if missing := [name for name in arm.needs if name not in INSTALLED]:
                result.left_out[arm.name] = f"not installed: {', '.join(missing)}"
                continue
            app = arm.wrap(bare)
            await running.enter_async_context(lifespan(app))
            await _check(scenario, arm, app)
            turns.append((app, result.arms.setdefault(arm.name, [])))
            peaks = [await _peak(each, _scope(scenario)) for each in (app, bare)]
            result.peak[arm.name] = peaks[0] - peaks[1]
        most = min(rounds, scenario.most_rounds)
        await _time(turns, _scope(scenario), most, seconds)
    return result


async def _time(
    turns: list[tuple[ASGIApp, list[float]]], scope: dict[str, Any], rounds: int, seconds: float
) -> None:
    first = max([await _seconds(app, scope, 1) for app, _ in turns])
    times = 20 if first < _LONG else 1
    warm = [await _seconds(app, scope, times) / times for app, _ in turns]
    requests = max(1, round(seconds / max(warm)))
    # Collecting the garbage of an arm is part of its cost, but scanning all other objects is not.
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        # Each round begins with another arm, so a periodic load does not always hit the same one.
        turns.append(turns.pop(0))
        for app, figures in turns:
            figures.append(await _seconds(app, scope, requests) / requests)
    gc.unfreeze()


async def _peak(app: ASGIApp, scope: dict[str, Any]) -> int:
    """Return the most bytes that are allocated at once during a request."""
    await _seconds(app, scope, 2)  # the first requests make things that later ones share
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        await _seconds(app, scope, 1)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return peak - before


async def _check(scenario: Scenario, arm: Arm, app: ASGIApp) -> None:
    """Raise :class:`WrongResponseError` unless *app* responds as the scenario says."""
    messages: list[Message] = []

    async def collect(message: Message) -> None:
        messages.append(message)

    await app(_scope(scenario), receive, collect)

    start, *rest = messages or [{}]
    body = b"".join(message.get("body", b"") for message in rest)
    response = {"status": str(start.get("status"))}
    for name, value in start.get("headers", ()):
        key = name.decode().lower()
        response[key] = f"{response[key]}, {value.decode()}" if key in response else value.decode()
    expected = {"status": scenario.status, **scenario.headers, **arm.headers}
    problems = [
        f"{name} {response.get(name, '')!r}, not {pattern!r}"
        for name, pattern in expected.items()
        if not re.fullmatch(pattern, response.get(name, ""))
    ]
    # The response to a preflight does not come from the app.
    if scenario.method != "OPTIONS" and body != b"".join(scenario.chunks):
        problems.append("a body that is not the app's")
    if problems:
        raise WrongResponseError(f"{scenario.name}: {arm.name} sends {'; '.join(problems)}")


def _scope(scenario: Scenario) -> dict[str, Any]:
    headers = [*REQUEST_HEADERS, *scenario.extra]
    return http_scope(scenario.method, "/invoices/?page=2", headers, {"state": {}})


async def receive() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send(message: Message) -> None:
    pass


async def _seconds(app: ASGIApp, scope: dict[str, Any], requests: int) -> float:
    """Return how many seconds this number of requests takes, each with a new scope."""
    started = perf_counter()
    for _ in range(requests):
        await app(scope.copy(), receive, send)
    return perf_counter() - started
