"""Contexts: async and sync context managers behind one async interface, each with one thread."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncContextDecorator,
    ContextDecorator,
    asynccontextmanager,
    contextmanager,
)
from functools import partial
from inspect import isasyncgenfunction, isgeneratorfunction, signature
from types import AsyncGeneratorType, CoroutineType, GeneratorType
from typing import Any, cast

from .. import _options as options
from .._async import is_async
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
    """Run the sync code that *context* calls in one thread of its own, from enter to exit.

    Its thread-locals and database connections last that long. Only a connection that the database
    has dropped is closed before the exit; it reopens when it is used.
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


# --- checks of a list of factories, as far as they are possible without calling one ---

_WAY_OUT = "a function that takes the state and returns a context manager"
# All functions that one of contextlib's decorators returns share one code object.
_ASYNC_CODE: object = cast("Any", asynccontextmanager)(new_context).__code__
_SYNC_CODE: object = cast("Any", contextmanager)(new_context).__code__


def context_factories(option: str, value: object) -> Iterator[str]:
    """Check a list of functions that take the state and return a context manager."""
    if not isinstance(value, list | tuple):
        way_out = f"[{qualified_name(value)}]" if callable(value) else "a list of functions"
        yield f"{option}: {options.shown(value)} is not a list; use {way_out}"
        return
    for each in cast("Sequence[object]", value):
        if isinstance(each, type):
            problems = _class_problems(each)
        elif isinstance(each, _CALLED) or not callable(each):
            problems = _object_problems(each)
        else:
            problems = _function_problems(each)
        found = [f"{option}: {problem}" for problem in problems]
        yield from found[:1] or options.function(option, each, _WAY_OUT)


# What a factory returns when it is called, with or without its decorator.
_CALLED: tuple[type[object], ...] = (
    ContextDecorator,
    AsyncContextDecorator,
    GeneratorType,
    AsyncGeneratorType,
    CoroutineType,
)
_MANAGERS: tuple[type[object], ...] = (AbstractAsyncContextManager, AbstractContextManager)


def _object_problems(value: object) -> Iterator[str]:
    name = qualified_name(getattr(value, "func", value))  # contextlib's name for the function
    if isinstance(value, _CALLED):
        yield f"{name}() was called already; use {name}"
    elif isinstance(value, _MANAGERS):
        yield f"{name}() was called already; use lambda state: {name}()"


def _class_problems(value: type[object]) -> Iterator[str]:
    name = qualified_name(value)
    is_decorator = issubclass(value, ContextDecorator | AsyncContextDecorator)
    has_callable_objects = any("__call__" in vars(base) for base in value.__mro__)
    if has_callable_objects and not is_decorator and _can_be_called(value):
        yield f"{name} is a class; use {name}()"
    elif not _can_be_called(value, {}):
        yield f"{name} cannot be called with the state; use lambda state: {name}()"
    elif value.__new__ is object.__new__ and not issubclass(value, _MANAGERS):
        yield f"{name} has no __aenter__ and __aexit__; use a class that has them, or {_WAY_OUT}"


def _function_problems(value: Callable[..., object]) -> Iterator[str]:
    name = qualified_name(value)
    if isasyncgenfunction(value):
        yield f"{name} is not a context manager yet; use @asynccontextmanager above it"
    if isgeneratorfunction(value):
        yield f"{name} is not a context manager yet; use @contextmanager above it"
    code, decorated = _decorated(value)
    if code is _SYNC_CODE and (isasyncgenfunction(decorated) or is_async(decorated)):
        yield f"{name} is async, and @contextmanager is not; use @asynccontextmanager"
    if code is _ASYNC_CODE and isgeneratorfunction(decorated):
        yield f"{name} is not async, and @asynccontextmanager is; use @contextmanager"
    if code is _ASYNC_CODE and is_async(decorated):
        yield f"{name} does not yield; use yield between its startup and its shutdown"
    if _can_be_called(value, {}):
        return
    way_out = "lambda state: ..." if name.endswith("<lambda>") else f"def {name}(state)"
    if _can_be_called(value) and "<" not in name:
        way_out += f", or lambda state: {name}()"
    yield f"{name} cannot be called with the state; use {way_out}"


def _decorated(value: Any) -> tuple[object, object]:
    """Return the code object of a function, and the function that it wraps."""
    while isinstance(value, partial):
        value = value.func
    return getattr(value, "__code__", None), getattr(value, "__wrapped__", None)


def _can_be_called(factory: Callable[..., object], *arguments: object) -> bool:
    try:
        signature(factory).bind(*arguments)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return True
    return True
