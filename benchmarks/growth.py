"""How costs grow with the number of allowed origins, request headers and layers.

Each series is measured like a scenario at every size, and a straight line is fitted to the times.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asgi_middleware import RequestIDMiddleware, compose

from .in_process import measure
from .report import Spread, added
from .scenarios import ALLOWED, OURS, STACK, Arm, Scenario, granted, made, with_origins


@dataclass(frozen=True)
class Series:
    """What grows, the sizes to measure, and a function that makes the scenario of one size."""

    name: str
    sizes: Sequence[int]
    scenario: Callable[[int], Scenario]


@dataclass(frozen=True)
class Growth:
    """The seconds that each arm adds, at each size of the series."""

    series: Series
    added: dict[str, list[Spread]]

    def fit(self, arm: str) -> tuple[float, float]:
        """Return the fitted line: the seconds at size 0, and per unit of size."""
        medians = [spread.median for spread in self.added[arm]]
        line = statistics.linear_regression(self.series.sizes, medians)
        return line.intercept, line.slope


def _origins(number: int) -> Scenario:
    # The origin of the request comes last.
    arms = with_origins([*(f"https://{n}.example" for n in range(number)), "https://app.example"])
    return Scenario(f"{number} origins", arms, (ALLOWED,), granted)


def _headers(number: int) -> Scenario:
    extra = tuple((b"x-header-%d" % n, b"value") for n in range(number))
    return Scenario(f"{number} headers", STACK, extra, made)


def _layers(number: int) -> Scenario:
    ours = compose(*[RequestIDMiddleware] * number)
    # The outermost layer makes an ID, and the inner layers find it.
    return Scenario(f"{number} layers", (Arm(OURS, ours),), (), made)


SERIES = (
    Series("allowed origins", (1, 10, 100, 1000, 10_000), _origins),
    Series("request headers", (0, 25, 50, 75, 100), _headers),
    Series("layers of RequestIDMiddleware", (1, 2, 4, 8, 16), _layers),
)


async def grown(series: Series, rounds: int, seconds: float) -> Growth:
    spreads: dict[str, list[Spread]] = {}
    for size in series.sizes:
        result = await measure(series.scenario(size), rounds, seconds)
        for arm in result.arms:
            spreads.setdefault(arm, []).append(added(result, arm))
    return Growth(series, spreads)


def as_json(growth: Growth) -> dict[str, Any]:
    return {
        "series": growth.series.name,
        "sizes": list(growth.series.sizes),
        "added": {arm: [s._asdict() for s in spreads] for arm, spreads in growth.added.items()},
        "fit": {
            arm: dict(zip(("intercept", "slope"), growth.fit(arm), strict=True))
            for arm in growth.added
        },
    }
