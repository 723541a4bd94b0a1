"""Contexts: async and sync context managers behind one async interface, each with its thread."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncContextDecorator,
    ContextDecorator,
    asynccontextmanager,
)
from functools import partial
from inspect import signature
from typing import Any, cast

from .. import _options as options
from .._django import close_connections, close_lost_connections
from .._names import qualified_name
from .._threads import OwnThread, ThreadContext, has_waiting_thread
from .state import State

logger = logging.getLogger(__name__)

AnyContextManager = AbstractAsyncContextManager[Any, Any] | AbstractContextManager[Any, Any]
ContextFactory = Callable[[State], AnyContextManager]


def new_context(factory: ContextFactory, state: State) -> AbstractAsyncContextManager[Any, Any]:
    """Call *factory*, and return its context as an async context manager.

    Raises TypeError if *factory* returns anything else.
    """
    context: object = factory(state)
    name = qualified_name(factory)
    if isinstance(context, AbstractAsyncContextManager):
        return _with_own_thread(context, name)
    if isinstance(context, AbstractContextManager):
        return _in_thread(context, name)
    raise TypeError(
        f"{name} returned {context!r}, which is not a context manager; put @asynccontextmanager or"
        " @contextmanager above the function"
    )


@asynccontextmanager
async def _in_thread(
    context: AbstractContextManager[Any, Any], name: str
) -> AsyncGenerator[object]:
    thread = OwnThread(f"lifespan {name}")
    try:
        yield await _unless_stuck(thread, context.__enter__, name)
        await _unless_stuck(thread, partial(context.__exit__, None, None, None), name)
    finally:
        thread.end()


async def _unless_stuck(thread: OwnThread, call: Callable[[], object], name: str) -> object:
    try:
        return await thread.run(partial(_then_close_connections, call))
    except asyncio.CancelledError:
        logger.error("%s keeps running in its thread; it is abandoned", name)  # noqa: TRY400
        raise


def _then_close_connections(call: Callable[[], object]) -> object:
    try:
        return call()
    finally:
        close_connections()


@asynccontextmanager
async def _with_own_thread(
    context: AbstractAsyncContextManager[Any, Any], name: str
) -> AsyncGenerator[object]:
    """Give the sync code that *context* calls one thread of its own, from enter to exit.

    Its thread-locals and database connections survive there in between. Only a connection that the
    database has dropped meanwhile is closed; it opens again where it is used.
    """
    if has_waiting_thread():
        async with context as yielded:
            yield yielded
        return
    thread = OwnThread(f"lifespan {name}")
    try:
        async with ThreadContext(thread, afterwards=lambda: thread):
            yielded = await context.__aenter__()
        yield yielded
        await thread.run_if_started(close_lost_connections)
        async with ThreadContext(thread, afterwards=lambda: thread):
            await context.__aexit__(None, None, None)
    finally:
        await thread.close()


# --- whether an option is a list of factories, as far as that shows without a call ---

_WAY_OUT = "a function that takes the state and returns a context manager"


def context_factories(option: str, value: object) -> Iterator[str]:
    """Check a list of functions that take the state and return a context manager."""
    if isinstance(value, list | tuple):
        for each in cast("Sequence[object]", value):
            yield from (
                _class_problems(option, each)
                if isinstance(each, type)
                else _object_problems(option, each)
            )
    else:
        way_out = f"[{qualified_name(value)}]" if callable(value) else "a list of functions"
        yield f"{option}: {options.shown(value)} is not a list; use {way_out}"


def _class_problems(option: str, value: type[object]) -> Iterator[str]:
    name = qualified_name(value)
    is_decorator = issubclass(value, ContextDecorator | AsyncContextDecorator)
    has_callable_objects = any("__call__" in vars(base) for base in value.__mro__)
    if has_callable_objects and not is_decorator and _can_be_called(value):
        yield f"{option}: {name} is a class; use {name}()"
    elif not _can_be_called(value, {}):
        yield f"{option}: {name} cannot be called with the state; use lambda state: {name}()"


def _object_problems(option: str, value: object) -> Iterator[str]:
    if isinstance(value, ContextDecorator | AsyncContextDecorator):
        name = qualified_name(getattr(value, "func", value))  # as contextlib keeps it
        yield f"{option}: {name}() was called already; use {name}"
        return
    problems = list(options.function(option, value, _WAY_OUT))
    yield from problems
    if not problems and not _can_be_called(cast("Callable[..., object]", value), {}):
        name = qualified_name(value)
        yield f"{option}: {name} cannot be called with the state; use def {name}(state)"


def _can_be_called(factory: Callable[..., object], *arguments: object) -> bool:
    try:
        signature(factory).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # a builtin, which does not show its parameters
        return True
    return True
