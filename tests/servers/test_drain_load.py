"""A few rounds of signals at random moments. ``python -m tests.drain_load`` plays 50."""

import pytest

from tests.drain_load import SERVERS, measure

pytestmark = pytest.mark.process


@pytest.mark.parametrize("name", SERVERS)
def test_no_request_is_lost_whenever_the_signal_comes(name: str) -> None:
    pytest.importorskip(name.partition(" ")[0])
    figures = measure(rounds=2, seed=1, names=[name])

    assert figures.is_well, figures.lines()
    assert figures.results.total() > 0
