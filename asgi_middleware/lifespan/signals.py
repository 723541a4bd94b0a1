"""Our handler in front of the server's, for the signals that end a process."""

import asyncio
import multiprocessing
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

# Windows has no SIGQUIT.
_NAMES = ("SIGINT", "SIGTERM", "SIGQUIT")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))

Handler = Callable[[int, FrameType | None], object]


class SignalChain:
    """Calls *handler* instead of the server's handlers; :meth:`pass_on` calls those.

    *handler* runs in the main thread between any two instructions, so it should do little.

    Some servers stop gracefully only on SIGTERM: uvicorn does not handle SIGQUIT, and gunicorn's
    workers drop everything when they get one. Such a signal is passed on as SIGTERM.
    """

    def __init__(self, handler: Handler) -> None:
        self.can_terminate = False
        self._handler = handler
        self._previous: dict[int, Any] = {}
        self._abrupt: set[int] = set()
        self._installed = False
        self._expects_own = False

    def install(self) -> None:
        """Put *handler* before the handler of each signal, if we are in the main thread.

        An ignored signal stays ignored. A handler that was not set from Python is left in place,
        because we could not call it.
        """
        if not _in_main_thread():
            return
        self._installed = True
        self.can_terminate = callable(signal.getsignal(signal.SIGTERM))
        for number in SIGNALS:
            previous = signal.getsignal(number)
            if previous not in (None, signal.SIG_IGN):
                self._previous[number] = previous
                if self._is_abrupt(number):
                    self._abrupt.add(number)
                signal.signal(number, self._on_signal)

    def deafness(self) -> str | None:
        """Return why we do not get the signals that end the server, or None if we do."""
        if not _in_main_thread():
            return (
                "the app does not run in the main thread; call Drain.begin() before you stop the"
                " server"
            )
        if multiprocessing.parent_process() and not self.can_terminate:
            return "the server's workers do not handle SIGTERM; start hypercorn with --workers 0"
        return None

    def remove(self) -> None:
        """Put the previous handlers back, except where somebody else has replaced ours."""
        self._installed = False
        for number, previous in self._previous.items():
            if signal.getsignal(number) == self._on_signal:
                signal.signal(number, previous)

    def pass_on(self, number: int, frame: FrameType | None) -> None:
        """Do what the signal would have done without us."""
        previous = self._previous[number]
        if number in self._abrupt:
            self.terminate()
        elif callable(previous):
            previous(number, frame)
        else:  # the default action, which only the system can take
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def terminate(self) -> None:
        """Send our own process a SIGTERM, which the server handles.

        It is a real signal because an event loop that handles signals would not notice a call of
        its handler. ``os.kill`` would end the process at once on Windows.
        """
        self._expects_own = True
        signal.raise_signal(signal.SIGTERM)

    def _is_abrupt(self, number: int) -> bool:
        """Tell whether this signal ends the server without a shutdown; if so, take it over."""
        if number == signal.SIGTERM or not self.can_terminate:
            return False
        # A handler on the event loop would run before ours. No server needs it: granian and
        # hypercorn do the same on SIGTERM, and gunicorn stops more gracefully on SIGTERM.
        try:
            taken = asyncio.get_running_loop().remove_signal_handler(number)
        except NotImplementedError:  # on Windows
            taken = False
        return taken or signal.getsignal(number) == signal.SIG_DFL

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        own = self._expects_own and number == signal.SIGTERM
        if own:
            self._expects_own = False
        # A handler that has replaced ours may still call ours after remove().
        handle = self._handler if self._installed and not own else self.pass_on
        handle(number, frame)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
