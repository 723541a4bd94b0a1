"""What an observer is, and how it is called."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol, cast, runtime_checkable

from .. import _options as options
from .._async import is_async
from .record import Timing

logger = logging.getLogger(__name__)


@runtime_checkable
class Observer(Protocol):
    """An object with a method for the start and one for the end of a request or WebSocket.

    It may have a third method, ``responded``, which is called between the two: as soon as the
    response is complete or the socket is closed, and at the latest when the app has ended.

    All of them are plain functions, which run in the event loop and must not block.
    """

    def started(self, record: Timing, /) -> object: ...

    def finished(self, record: Timing, /) -> object: ...


ObserverFunction = Callable[[Timing], object]


def problems_with_observers(option: str, value: object) -> Iterator[str]:
    """Check a collection of observers and functions of the record."""
    if _is_list(value):
        for observer in cast("Collection[object]", value):
            yield from _problems(option, observer)
    else:
        is_observer = callable(value) or isinstance(value, Observer)
        element = _written(value) if is_observer else "AccessLog()"
        yield f"{option}: {options.shown(value)} is not a list; use [{element}]"


def _is_list(value: object) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping)


def _problems(option: str, observer: object) -> Iterator[str]:
    shown = options.shown(observer)
    functions: Sequence[object] = [observer]
    if isinstance(observer, Observer):
        functions = _methods(observer, "started", "responded", "finished")
    if isinstance(observer, Observer) and isinstance(observer, type):
        yield f"{option}: {observer.__name__} is a class; use {_written(observer)}"
    elif not all(callable(function) for function in functions):
        yield f"{option}: {shown} is not an observer; use AccessLog() or a function of the record"
    elif any(is_async(function) for function in functions):
        yield f"{option}: {shown} is async; use a plain function of the record"


def _written(observer: object) -> str:
    """Return how you would write *observer*, or an instance of that class, in a configuration."""
    if isinstance(observer, type):
        return f"{observer.__name__}()"
    return getattr(observer, "__name__", None) or options.shown(observer)


def functions_of(
    observers: Iterable[Observer | ObserverFunction], event: str
) -> list[ObserverFunction]:
    """Return the functions to call at *event*: ``started``, ``responded`` or ``finished``."""
    found: list[ObserverFunction] = []
    for observer in observers:
        if isinstance(observer, Observer):
            found += _methods(observer, event)
        elif event == "finished":
            found.append(observer)
    return found


def _methods(observer: Observer, *events: str) -> list[ObserverFunction]:
    return [getattr(observer, event) for event in events if hasattr(observer, event)]


def notify(function: ObserverFunction, record: Timing) -> None:
    """Call *function* with *record*. An exception is logged and goes no further."""
    try:
        function(record)
    except Exception:
        logger.exception("the observer %r failed", function)
