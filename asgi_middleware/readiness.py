"""Whether the process should be sent requests: what startup and a drain set, and probes read."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Readiness:
    """Whether the process should be sent requests: ``ready``, and ``reason`` if not.

    Give one to both :class:`LifespanMiddleware`, which sets it, and
    :class:`HealthMiddleware`, which tells.
    """

    _STARTING = "starting"

    def __init__(self) -> None:
        self.reason: str | None = self._STARTING
        self.when_probed: Callable[[], object] | None = None

    @property
    def ready(self) -> bool:
        return self.reason is None

    def probed(self) -> bool:
        """Return ``ready``, and let start what only waits to be asked for."""
        if self.when_probed is not None:
            self.when_probed()
        return self.ready

    def starting(self) -> None:
        """Begin anew: a start-up forgets what went wrong before it."""
        self.reason = self._STARTING

    def started(self) -> None:
        """Be ready, unless that was withdrawn during start-up."""
        if self.reason == self._STARTING:
            self.reason = None

    def withdraw(self, reason: str) -> None:
        """Be not ready until the next start-up. The first reason is the one that is told."""
        if self.reason in (None, self._STARTING):
            self.reason = reason
