"""A short load of requests, WebSockets and tasks. ``tests.isolation_load`` runs a longer one."""

import pytest

from tests.isolation_load import measure

pytestmark = pytest.mark.process


@pytest.mark.parametrize(
    ("pooled", "audited"),
    [
        pytest.param(False, True, id="plain"),
        pytest.param(True, False, id="pooled"),
        pytest.param(True, True, id="pooled, with receivers of signals"),
    ],
)
def test_under_load_nothing_is_mixed_up_and_nothing_is_left(pooled: bool, audited: bool) -> None:
    figures = measure(clients=32, seconds=3, pooled=pooled, audited=audited)

    assert figures.mixed_up == 0, figures.lines()
    assert figures.broken == []
    assert figures.errors == []
    assert figures.is_idle, figures.statistics
    assert figures.are_enough, figures.lines()
