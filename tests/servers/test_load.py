"""A short load with faults. ``python -m tests.load`` runs a longer one, with more clients."""

import pytest

from tests.load import POOL, measure

pytestmark = pytest.mark.process

CLIENTS = 48
# One client in six opens streams. A stream keeps its thread, but leaves its place to others.
STREAMS = CLIENTS // 6
# WebSockets share as many threads as the pool keeps for requests.
SOCKETS = 8
# The main thread of a worker, the default executor of its event loop, supervised tasks, and the
# server's threads.
OTHERS = 16


def test_no_response_is_wrong_whatever_goes_down() -> None:
    figures = measure(clients=CLIENTS, seconds=6)

    assert figures.wrong == []
    assert figures.broken == []
    assert set(figures.responses) == {"page", "notes", "status", "upload", "stream", "socket"}
    assert figures.threads <= POOL + STREAMS + SOCKETS + OTHERS
    # Memory stays flat: after another quarter of the load, it has not grown.
    first, last = figures.memory
    assert last < 1.5 * first
