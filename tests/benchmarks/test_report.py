import random

import pytest

from benchmarks.end_to_end import ROUNDS, verdict
from benchmarks.in_process import Result
from benchmarks.report import Spread, added, difference, ratio, table
from benchmarks.scenarios import OURS, Arm, Scenario

US = 1e-6
arms = (Arm(OURS, lambda app: app), Arm("peer", lambda app: app))


def test_the_floor_is_subtracted_round_by_round() -> None:
    # The third round was slow for all arms, because the machine was.
    result = Result(Scenario("mw=x/req=y", arms), [1, 1, 5, 1], {OURS: [3, 4, 9, 6]})

    assert added(result, OURS) == Spread(median=3.5, low=3, high=4)


def test_a_stream_is_counted_per_message() -> None:
    result = Result(Scenario("mw=x/req=y", arms, chunks=[b""] * 10), [1], {OURS: [21]})

    assert added(result, OURS) == Spread(2, 2, 2)


@pytest.mark.parametrize(
    ("ours", "expected"),
    [
        pytest.param(Spread(2, 1, 3), 0.5, id="apart"),
        pytest.param(Spread(2, 1, 3.5), None, id="overlapping"),
        pytest.param(Spread(6, 5, 7), None, id="touching"),
        pytest.param(Spread(8, 6, 9), 2.0, id="the other way round"),
    ],
)
def test_a_ratio_needs_spreads_that_do_not_overlap(ours: Spread, expected: float | None) -> None:
    assert ratio(ours, Spread(4, 3.5, 5)) == expected


@pytest.mark.parametrize(
    ("ratios", "control", "expected"),
    [
        pytest.param([1.3, 1.4, 1.5], [0.9, 1, 1.1], Spread(1.4, 1.3, 1.5), id="beyond the noise"),
        pytest.param([0.7, 0.8, 0.9], [0.9, 1, 1.1], Spread(0.8, 0.7, 0.9), id="below the noise"),
        pytest.param([1.2, 1.3, 1.4], [0.9, 1, 1.5], None, id="within the noise"),
        pytest.param([0.7, 0.8, 0.9], [1, 1.1, 1.5], None, id="noise in the other direction"),
        # Both spreads lie on the same side of 1, as they do for equal arms in half of all runs.
        pytest.param([0.92, 0.95, 0.99], [0.92, 0.95, 0.99], None, id="the control itself"),
    ],
)
def test_an_arm_makes_a_difference_if_it_is_beyond_the_noise_of_its_control(
    ratios: list[float], control: list[float], expected: Spread | None
) -> None:
    assert difference(ratios, control) == expected


def test_equal_arms_are_rarely_reported_as_different() -> None:
    lots = random.Random(0)
    found = 0
    for _ in range(1000):
        base, again, arm = ([lots.gauss(1, 0.1) for _ in range(ROUNDS)] for _ in range(3))
        found += verdict(arm, base, again) != "no difference"

    assert found < 20


def test_the_table_shows_each_arm_beside_ours() -> None:
    quick = Result(Scenario("mw=x/req=y", arms), [US], {OURS: [3 * US], "peer": [5 * US]})
    equal = Result(Scenario("mw=x/req=z", arms), [US], {OURS: [3 * US], "peer": [3 * US]})

    assert [line.split() for line in table([quick, equal]).splitlines()[3:7]] == [
        ["mw=x/req=y", OURS, "2.00", "2.00", "to", "2.00"],
        ["peer", "4.00", "4.00", "to", "4.00", "0.50"],
        ["mw=x/req=z", OURS, "2.00", "2.00", "to", "2.00"],
        ["peer", "2.00", "2.00", "to", "2.00", "no", "difference"],
    ]
