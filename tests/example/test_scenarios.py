"""The list of scenarios, and those who play them."""

import re
from pathlib import Path

from example_project.inspector.scenarios.player import PLAYS
from example_project.inspector.scenarios.table import SCENARIOS
from example_project.inspector.scenarios.views import BOUND, CALLS

INSPECTOR = Path(__file__).resolve().parents[2] / "example_project/inspector"
NAMES = [scenario.name for scenario in SCENARIOS]


def test_every_scenario_can_be_played_without_a_browser() -> None:
    assert list(PLAYS) == NAMES


def test_every_scenario_can_be_played_by_the_page() -> None:
    script = (INSPECTOR / "static/inspector/scenarios.js").read_text(encoding="utf-8")
    plays = script[script.index("export const PLAYS") : script.index("\n};\n")]

    assert re.findall(r'^  async "?([a-z-]+)"?\(', plays, re.MULTILINE) == NAMES


def test_the_burst_scenario_expects_the_numbers_of_the_pool() -> None:
    from example_project.asgi import pool

    [burst] = [scenario for scenario in SCENARIOS if scenario.name == "burst"]

    assert pool._limit == BOUND
    assert burst.expected == (f"{CALLS} requests at once: at most {BOUND} of them are at work.")
