"""What counts as a failure in the comparison; the docs give the reason for each difference."""

import re

import pytest

from tests.servers.server import ROOT
from tests.suites import Report

from .__main__ import PEERS, Peer, problems

LISTED = Peer("peer~=1.0", (), (), {"It has a reason.": ("test_listed",)})
# Whitespace is normalized, because the page's lines may wrap anywhere.
PAGE = " ".join((ROOT / "docs" / "how-it-works.md").read_text().split())


@pytest.mark.parametrize(
    ("test", "before", "after", "said"),
    [
        pytest.param("test_listed", "passed", "failed", [], id="fails and is listed"),
        pytest.param(
            *("test_listed", "passed", "passed", ["is listed, but does not differ"]),
            id="passes and is listed",
        ),
        pytest.param(
            *("test_listed", "failed", "failed", ["is listed, but does not differ"]),
            id="fails in both and is listed",
        ),
    ],
)
def test_a_listed_test_must_differ(test: str, before: str, after: str, said: list[str]) -> None:
    bare, stacked = Report(0, {test: before}), Report(1, {test: after})

    assert list(problems(LISTED, bare, stacked)) == [f"{test} {line}" for line in said]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param("passed", "passed", [], id="passes in both"),
        pytest.param("failed", "failed", [], id="fails in both"),
        pytest.param("passed", "failed", ["passed bare, failed with the stack"], id="fails"),
        pytest.param("passed", "skipped", ["passed bare, skipped with the stack"], id="skips"),
        pytest.param(
            "failed",
            "passed",
            ["failed bare, passed with the stack"],
            id="passes only with the stack",
        ),
    ],
)
def test_an_unlisted_test_must_not_differ(before: str, after: str, said: list[str]) -> None:
    bare = Report(0, {"test_listed": "passed", "test_other": before})
    stacked = Report(1, {"test_listed": "failed", "test_other": after})

    assert list(problems(LISTED, bare, stacked)) == [f"test_other {line}" for line in said]


def test_a_listed_test_that_does_not_exist_is_reported() -> None:
    assert list(problems(LISTED, Report(0, {}), Report(1, {}))) == [
        "test_listed is listed, but does not differ"
    ]


def test_a_run_in_which_no_app_got_the_stack_is_a_failure() -> None:
    nothing_listed = LISTED._replace(differences={})
    report = Report(0, {"test_other": "passed"})

    assert list(problems(nothing_listed, report, report)) == [
        "no app got the stack, so nothing was tested"
    ]


def test_the_page_gives_exactly_the_listed_reasons() -> None:
    _, _, section = PAGE.partition("## What is different inside the stack ")
    section, _, _ = section.partition(" ## ")
    reasons = {reason for peer in PEERS.values() for reason in peer.differences}

    assert {f"{first}." for first in re.findall(r" \* (.*?)\. ", section)} == reasons
