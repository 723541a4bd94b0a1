"""The report: each table is in its place and shows the committed results."""

import json
import re
from typing import Any

import pytest

from benchmarks.compare import compared
from benchmarks.in_process import INSTALLED
from benchmarks.scenarios import OURS
from benchmarks.write import PAGE, RESULTS, put, tables

SPREAD = {"median": 2e-6, "low": 1e-6, "high": 3e-6}
SLOWER = {"median": 8e-6, "low": 7e-6, "high": 9e-6}


def result(**added: dict[str, float]) -> dict[str, Any]:
    return {"results": [{"scenario": "mw=x/req=y", "messages": 1, "added": added}]}


def test_a_new_table_replaces_the_old_one() -> None:
    page = "before\n<!-- growth -->\nold\n<!-- /growth -->\nafter\n"

    assert put(page, {"growth": "new"}) == "before\n<!-- growth -->\nnew\n<!-- /growth -->\nafter\n"


def test_a_table_without_a_place_in_the_page_is_an_error() -> None:
    with pytest.raises(ValueError, match="has 0 places for the table 'growth'"):
        put("a page", {"growth": "new"})


def test_two_files_of_results_are_compared_arm_by_arm() -> None:
    old, new = result(a=SLOWER, b=SPREAD), result(a=SPREAD, b=SPREAD, c=SPREAD)

    assert [line.split(maxsplit=2) for line in compared(old, new)] == [
        ["mw=x/req=y", "a", "0.25 of what it was"],
        ["mw=x/req=y", "b", "no difference"],
    ]


def test_the_page_shows_the_committed_results() -> None:
    report = json.loads((RESULTS / f"{INSTALLED[OURS]}.json").read_text(encoding="utf-8"))
    page = PAGE.read_text(encoding="utf-8")

    assert put(page, tables(report)) == page
    assert not re.findall("GOAL_", page)
