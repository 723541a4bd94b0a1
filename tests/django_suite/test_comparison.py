"""What counts as a failure in the comparison of Django's tests."""

import pytest

from tests.suites import Report

from .__main__ import COMPARISONS, worsened

POOL = COMPARISONS["pool"]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        pytest.param("passed", "passed", [], id="passes in both"),
        pytest.param("failed", "failed", [], id="fails in both"),
        pytest.param("failed", "passed", [], id="fails only without the pool"),
        pytest.param("passed", "failed", ["passed without the pool, failed with it"], id="fails"),
        pytest.param("passed", "skipped", ["passed without the pool, skipped with it"], id="skips"),
    ],
)
def test_a_test_that_ends_worse_with_the_pool_is_reported(
    before: str, after: str, said: list[str]
) -> None:
    plain, pooled = Report(0, {"asgi.test": before}), Report(1, {"asgi.test": after})

    assert list(worsened(POOL, plain, pooled)) == [f"asgi.test {line}" for line in said]


def test_a_test_that_is_not_run_with_the_pool_is_reported() -> None:
    plain = Report(0, {"asgi.test": "passed"})

    assert list(worsened(POOL, plain, Report(1, {}))) == [
        "asgi.test passed without the pool, not run with it"
    ]


def test_a_run_that_uses_none_of_our_code_is_a_failure() -> None:
    report = Report(0, {"asgi.test": "passed"})

    assert list(worsened(POOL, report, report)) == [
        "nothing of ours was used, so nothing was tested"
    ]
