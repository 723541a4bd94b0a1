"""One context: what a factory returned, async or sync, under one name."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from functools import partial
from typing import Any

from .._django import close_connections, close_lost_connections
from .._threads import OwnThread, ThreadContext, is_below_sync_code
from .state import State

logger = logging.getLogger(__name__)

AnyContextManager = AbstractAsyncContextManager[Any, Any] | AbstractContextManager[Any, Any]
ContextFactory = Callable[[State], AnyContextManager]


def name_of(made: object) -> str:
    """Return the ``__qualname__`` of a function or class, that of the class of an object."""
    while isinstance(made, partial):
        made = made.func
    name: str = getattr(made, "__qualname__", type(made).__qualname__)
    return name


def opened(factory: ContextFactory, state: State) -> AbstractAsyncContextManager[Any, Any]:
    """Call *factory*, and return an async context manager.

    Raises TypeError when it returns none.
    """
    context: object = factory(state)
    name = name_of(factory)
    if isinstance(context, AbstractAsyncContextManager):
        return _beside_thread(context, name)
    if isinstance(context, AbstractContextManager):
        return _in_thread(context, name)
    raise TypeError(
        f"{name} returned {context!r}, which is no context manager; write @asynccontextmanager"
        " or @contextmanager above the function"
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
        logger.error("%s goes on in its thread; it is left behind", name)  # noqa: TRY400
        raise


def _then_close_connections(call: Callable[[], object]) -> object:
    try:
        return call()
    finally:
        close_connections()


@asynccontextmanager
async def _beside_thread(
    context: AbstractAsyncContextManager[Any, Any], name: str
) -> AsyncGenerator[object]:
    """Give the sync code that *context* calls a thread of its own, the same to its end.

    What it has set there, it finds there again; only a connection that the database has dropped
    meanwhile is closed, and opened again where it is used.
    """
    if is_below_sync_code():
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
