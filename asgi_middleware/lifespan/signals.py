"""A handler of ours in front of the server's, for the signals that end a process."""

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)

Handler = Callable[[int, FrameType | None], object]


class SignalChain:
    """Calls *handler* in place of the server's handlers, which :meth:`pass_on` calls.

    *handler* runs in the main thread between any two instructions, so it should do little.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._previous: dict[int, Any] = {}
        self._installed = False

    def install(self) -> None:
        """Put *handler* before the handler of each signal, if we are in the main thread.

        An ignored signal stays ignored. A handler that was not set from Python stays alone,
        because it could not be called.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        self._installed = True
        for number in SIGNALS:
            previous = signal.getsignal(number)
            if previous not in (None, signal.SIG_IGN):
                self._previous[number] = previous
                signal.signal(number, self._on_signal)

    def remove(self) -> None:
        """Put the previous handlers back, except where somebody else has replaced ours."""
        self._installed = False
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, previous)

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        """Do what the signal would have done without us."""
        previous = self._previous[number]
        if callable(previous):
            previous(number, frame)
        else:  # the default action, which only the system can take
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        # A handler that replaced ours may still call it after the end.
        handle = self._handler if self._installed else self.pass_on
        handle(number, frame)
