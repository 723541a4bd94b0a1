"""Who hears of each request and WebSocket, and how they are told."""

import logging
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Protocol, runtime_checkable

from .record import Timing

logger = logging.getLogger(__name__)


@runtime_checkable
class Observer(Protocol):
    """Hears of each request and WebSocket when it starts and when it has ended.

    Plain functions, which must not block: they run in the event loop.
    """

    def started(self, record: Timing, /) -> object: ...

    def finished(self, record: Timing, /) -> object: ...


Observation = Callable[[Timing], object]


def problem_with(observer: object) -> str | None:
    """Return why *observer* can never be told of anything, and the way out."""
    functions: list[object] = [observer]
    if isinstance(observer, Observer):
        if isinstance(observer, type):
            return f"{observer.__name__} is a class; write {observer.__name__}()"
        functions = [observer.started, observer.finished]
    elif not callable(observer):
        return (
            f"{observer!r} is no observer; write one with started() and finished(),"
            " or a function of the record"
        )
    if any(iscoroutinefunction(function) for function in functions):
        return f"{observer!r} is a coroutine function, which nobody would await; write a plain one"
    return None


def observations(
    observers: Iterable[Observer | Observation],
) -> tuple[list[Observation], list[Observation]]:
    """Return what is to be called at the start of a request, and at its end."""
    started: list[Observation] = []
    finished: list[Observation] = []
    for observer in observers:
        if isinstance(observer, Observer):
            started.append(observer.started)
            finished.append(observer.finished)
        else:
            finished.append(observer)
    return started, finished


def tell(observe: Observation, record: Timing) -> None:
    """Call *observe* with *record*; that it raises is logged, and all that comes of it."""
    try:
        observe(record)
    except Exception:
        logger.exception("the observer %r failed", observe)
