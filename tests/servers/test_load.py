"""A short load with faults. ``python -m tests.load`` runs longer, with more clients."""

import pytest

from tests.load import POOL, measure

pytestmark = pytest.mark.process

# The main thread of a worker, the default executor of its event loop, and the server's threads.
OTHERS = 16


def test_no_response_is_wrong_whatever_goes_down() -> None:
    figures = measure(clients=48, seconds=10)

    assert figures.wrong == []
    assert figures.broken == []
    assert set(figures.responses) == {"page", "notes", "status", "upload", "stream", "socket"}
    assert figures.threads <= POOL + OTHERS
    # Memory stays flat: measured a second time, a quarter of the load later, it has not grown.
    first, last = figures.memory
    assert last < 1.5 * first
