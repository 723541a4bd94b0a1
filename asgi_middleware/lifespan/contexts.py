"""One context: what a factory returned, async or sync, under one name."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from functools import partial
from typing import Any

from .._threads import WorkerThread
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
    if isinstance(context, AbstractAsyncContextManager):
        return context
    name = name_of(factory)
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
    thread = WorkerThread(f"lifespan {name}")
    try:
        yield await _unless_stuck(thread, context.__enter__, name)
        await _unless_stuck(thread, partial(context.__exit__, None, None, None), name)
    finally:
        thread.end()


async def _unless_stuck(thread: WorkerThread, call: Callable[[], object], name: str) -> object:
    try:
        return await thread.run(call)
    except asyncio.CancelledError:
        logger.error("%s goes on in its thread; it is left behind", name)  # noqa: TRY400
        raise
