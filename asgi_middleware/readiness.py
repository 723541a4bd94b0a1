"""Whether the process should get requests: set by startup and drain, read by probes."""

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger(__name__)


class Readiness:
    """Whether the process should get requests: ``ready``, and the ``reason`` if it should not.

        readiness = Readiness()
        app = LifespanMiddleware(app, readiness=readiness)
        app = HealthMiddleware(app, readiness=readiness)

    :class:`LifespanMiddleware` sets it, and :class:`HealthMiddleware` reports it.
    """

    _STARTING = "starting"

    def __init__(self) -> None:
        self.reason: str | None = self._STARTING
        self.when_probed: Callable[[], object] | None = None
        self._lives: set[object] = set()
        self._warned = False

    def __repr__(self) -> str:
        return f"<Readiness: {self.reason or 'ready'}>"

    @property
    def ready(self) -> bool:
        return self.reason is None

    def probed(self) -> bool:
        """Return ``ready``, and start a lifespan that waits for the first request.

        Warns once if nothing can ever set it, because the two layers do not share one object.
        """
        if self.when_probed is not None:
            self.when_probed()
        elif self.reason == self._STARTING and not self._lives and not self._warned:
            self._warned = True
            logger.warning(
                "not ready, and nothing will change that: no LifespanMiddleware has the Readiness"
                " of HealthMiddleware; use readiness = Readiness(), and pass it to both"
            )
        return self.ready

    def starting(self, life: object = None) -> None:
        """Begin a startup, which clears the reason of an earlier shutdown.

        Several cycles may overlap, such as those of two servers in one process; *life* identifies
        one. The first to start makes the process ready, and the last to end withdraws that.
        """
        others_serve = self.ready and self._lives
        self._lives.add(life)
        if not others_serve:
            self.reason = self._STARTING

    def started(self) -> None:
        """Become ready, unless readiness was withdrawn during startup."""
        if self.reason == self._STARTING:
            self.reason = None

    def ended(self, reason: str, life: object = None) -> None:
        """Withdraw readiness if no other cycle is open."""
        self._lives.discard(life)
        if not self._lives:
            self.withdraw(reason)

    def withdraw(self, reason: str) -> None:
        """Become not ready until the next startup. Only the first reason is kept."""
        if self.reason in (None, self._STARTING):
            self.reason = reason
