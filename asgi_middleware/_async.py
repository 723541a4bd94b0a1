"""How to tell that a function is async, and how to mark a plain function as async.

This uses asgiref because on Python 3.11, ``inspect`` does not recognize what Django marks as a
coroutine function, such as an async class-based view.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

F = TypeVar("F", bound=Callable[..., Any])


def is_async(function: object) -> bool:
    """Tell whether calling *function*, which may be any callable object, returns a coroutine."""
    if iscoroutinefunction(function):  # pyright: ignore[reportDeprecated]
        return True
    if isinstance(function, FunctionType):  # the usual case: nothing else to check
        return False
    of_class = getattr(type(function), "__call__", None)  # noqa: B004 -- the method itself, or None
    return iscoroutinefunction(of_class)  # pyright: ignore[reportDeprecated]


def as_async(function: F) -> F:
    """Mark a plain function that returns an awaitable, such as a ``send``, as async.

    Channels passes the ``send`` of a sync consumer to ``async_to_sync``, which warns about a
    function that looks sync.
    """
    return markcoroutinefunction(function)
