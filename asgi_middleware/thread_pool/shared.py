"""Threads that WebSockets share: evenly spread, with each WebSocket on one thread."""

from typing import Protocol

from .._django import renew_connections
from .._threads import Worker


class User(Protocol):
    """A WebSocket, as these threads see it. It changes only under the pool's lock."""

    worker: Worker | None

    def move(self, worker: Worker) -> None:
        """Let *worker* make the calls that wait."""


class SharedThreads:
    """Up to *size* threads, each for several users at once. Callers hold the pool's lock.

    Under plain Channels, all consumers share one thread. Here, calls of different sockets can run
    in parallel. A thread whose call waits for a client that does not read takes no new users, and
    does not count towards *size*.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._users: dict[Worker, int] = {}
        self._stuck: dict[Worker, int] = {}
        # Users that have not made a call yet, and can still move to another thread.
        self._newcomers: dict[User, None] = {}

    def join(self, user: User) -> Worker:
        """Return the least used thread, or a new one if all are in use and *size* allows it."""
        self._newcomers[user] = None
        return self._least_used()

    def begin(self, user: User) -> None:
        """Note that *user* makes its first call: it stays on its thread from now on."""
        self._newcomers.pop(user, None)

    def leave(self, worker: Worker) -> None:
        """Note that *worker* has one user fewer. If it has none, its connections are tidied."""
        if worker not in self._users:
            return
        self._users[worker] -= 1
        if self._users[worker]:
            return
        worker.put(renew_connections)
        if len(self._users) > self._size:
            del self._users[worker]
            worker.end()

    def get_stuck(self, worker: Worker) -> None:
        """Note that a call in *worker* waits for its client, and move newcomers elsewhere."""
        self._stuck[worker] = self._stuck.get(worker, 0) + 1
        for user in [user for user in self._newcomers if user.worker is worker]:
            self.leave(worker)
            user.move(self._least_used())

    def get_loose(self, worker: Worker) -> None:
        """Note that the call goes on."""
        calls = self._stuck.pop(worker, 0)
        if calls > 1:
            self._stuck[worker] = calls - 1

    def close(self) -> list[Worker]:
        """Return all threads, and forget them. Threads that start later end with their users."""
        workers = list(self._users)
        self._users.clear()
        self._size = 0
        return workers

    def reopen(self, size: int) -> None:
        """Keep up to *size* threads again."""
        self._size = size

    def _least_used(self) -> Worker:
        free = {worker: users for worker, users in self._users.items() if worker not in self._stuck}
        worker = min(free, key=free.__getitem__, default=None)
        if worker is None or (self._users[worker] and len(free) < self._size):
            worker = Worker("thread pool socket")
            self._users[worker] = 0
        self._users[worker] += 1
        return worker
