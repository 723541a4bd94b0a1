"""Results as statistics, as a table for people, and as JSON for other programs."""

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .in_process import INSTALLED, Result
from .scenarios import OURS


class Spread(NamedTuple):
    """The median of the rounds, and the two ends of their middle half."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, figures: Iterable[float]) -> "Spread":
        ordered = sorted(figures)
        outside = len(ordered) // 4
        return cls(statistics.median(ordered), ordered[outside], ordered[-1 - outside])


def added(result: Result, arm: str) -> Spread:
    """Return the seconds that *arm* adds to a request, or to each message of a stream.

    The seconds of a message include its share of what is done once for the request.
    """
    # Subtracted round by round, because anything that slows the machine down slows both.
    rounds = zip(result.arms[arm], result.floor, strict=True)
    return Spread.of((arm - floor) / len(result.scenario.chunks) for arm, floor in rounds)


def ratio(ours: Spread, other: Spread) -> float | None:
    """Return the ratio of our time to the *other*, or None if the spreads overlap."""
    if ours.low <= other.high and other.low <= ours.high:
        return None
    return ours.median / other.median


def difference(ratios: Iterable[float], control: Sequence[float]) -> Spread | None:
    """Return the spread of an arm's *ratios* to the first arm, or None if there is no difference.

    *control* holds the ratios of an arm that repeats the first arm. The round that is farthest from
    1 shows how large the noise is; a median that is no farther from 1 is not a difference.
    """
    spread = Spread.of(ratios)
    noise = max(max(each, 1 / each) for each in control)
    return None if 1 / noise <= spread.median <= noise else spread


def table(results: Sequence[Result]) -> str:
    """Return a line for each arm, and a line for each arm that was left out."""
    whole = [result for result in results if len(result.scenario.chunks) == 1]
    streams = [result for result in results if len(result.scenario.chunks) > 1]
    left_out = {item for result in results for item in result.left_out.items()}
    lines = ["Added to the bare app: median and middle half of the rounds. Ratio: ours / theirs."]
    lines += _section("µs/request", whole, 1e6, 2)
    lines += _section("ns/message", streams, 1e9, 0)
    lines += [f"\nLeft out: {arm} ({reason})" for arm, reason in sorted(left_out)]
    return "\n".join(lines)


def _section(unit: str, results: list[Result], scale: float, decimals: int) -> Iterable[str]:
    def shown(seconds: float) -> str:
        return f"{seconds * scale:.{decimals}f}"

    yield f"\n{'scenario':<33}{'arm':<20}{unit:>11}   {'middle half':<17}ratio"
    for result in results:
        name = result.scenario.name
        for arm in result.arms:
            spread = added(result, arm)
            times = ratio(added(result, OURS), spread)
            verdict = "" if arm == OURS else "no difference" if times is None else f"{times:.2f}"
            half = f"{shown(spread.low)} to {shown(spread.high)}"
            yield f"{name:<33}{arm:<20}{shown(spread.median):>11}   {half:<17}{verdict}".rstrip()
            name = ""


def as_json(results: Sequence[Result]) -> dict[str, Any]:
    """Return everything that was measured, and on which machine; times are in seconds."""
    needs = {name for result in results for arm in result.scenario.arms for name in arm.needs}
    return {
        "machine": f"{platform.platform()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        "versions": {name: INSTALLED.get(name) for name in (OURS, *sorted(needs))},
        "results": [
            {
                "scenario": result.scenario.name,
                "messages": len(result.scenario.chunks),
                "added": {arm: added(result, arm)._asdict() for arm in result.arms},
                "peak": result.peak,
                "rounds": {"floor": result.floor, **result.arms},
                "left_out": result.left_out,
            }
            for result in results
        ],
    }
