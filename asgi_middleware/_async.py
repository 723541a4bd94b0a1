"""Which functions are async, and how a plain function says that it is one.

asgiref's functions, because on Python 3.11 those of ``inspect`` do not see what Django marks as a
coroutine function, such as an async class-based view.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from asgiref.sync import iscoroutinefunction, markcoroutinefunction

F = TypeVar("F", bound=Callable[..., Any])


def is_async(function: object) -> bool:
    """Tell whether calling *function*, which may be an object, gives a coroutine."""
    if iscoroutinefunction(function):  # pyright: ignore[reportDeprecated]
        return True
    if isinstance(function, FunctionType):  # the usual case, in which there is no more to ask
        return False
    of_class = getattr(type(function), "__call__", None)  # noqa: B004 -- a function, or none
    return iscoroutinefunction(of_class)  # pyright: ignore[reportDeprecated]


def as_async(function: F) -> F:
    """Mark a plain function that returns an awaitable, such as a ``send``, as async.

    A sync consumer of Channels passes its ``send`` to ``async_to_sync``, which warns about a
    function that looks sync.
    """
    return markcoroutinefunction(function)
