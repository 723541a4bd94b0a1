"""Load and faults, in short; ``python -m tests.load`` takes longer, with more clients."""

import pytest

from tests.load import POOL, measure

pytestmark = pytest.mark.process

# A worker's main thread, the event loop's own executor, and what a server starts.
OTHERS = 16


def test_no_answer_is_wrong_whatever_goes_down() -> None:
    figures = measure(clients=48, seconds=10)

    assert figures.wrong == []
    assert figures.broken == []
    assert set(figures.answers) == {"page", "notes", "status", "upload", "stream", "socket"}
    assert figures.threads <= POOL + OTHERS
    # Flat: a second look, a quarter of the time later, finds no more than noise.
    first, last = figures.memory
    assert last < 1.5 * first
