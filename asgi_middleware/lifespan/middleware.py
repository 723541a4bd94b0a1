"""Enter context managers when the server starts, exit them when it stops."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
)
from typing import TYPE_CHECKING, cast

from ..errors import ConfigurationError
from ..types import ASGIApp, Message, Receive, Scope, Send
from .state import State, merge

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

logger = logging.getLogger(__name__)

AnyContextManager = AbstractAsyncContextManager[object] | AbstractContextManager[object]
ContextFactory = Callable[[State], AnyContextManager]


class LifespanMiddleware:
    """Run context managers for as long as the process serves.

    ``lifespan`` lists functions that take the state (a dict) and return a context
    manager, async or sync; sync ones run in a worker thread. They are entered in this
    order and exited in reverse. A mapping that one yields is merged into the state,
    which views find in ``request.scope["state"]``, consumers in ``self.scope["state"]``.

    Raises :class:`ConfigurationError` for what cannot be called.
    """

    def __init__(self, app: ASGIApp, *, lifespan: Sequence[ContextFactory] = ()) -> None:
        problems = [
            f"lifespan: {factory!r} cannot be called; write a function that takes the state"
            " and returns a context manager"
            for factory in lifespan
            if not callable(factory)
        ]
        if problems:
            raise ConfigurationError("LifespanMiddleware", problems)
        self.app = app
        self._lifespan = tuple(lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            return await self.app(scope, receive, send)

        await receive()  # lifespan.startup: there is nothing else that it can be
        async with _worker_thread() as thread:
            stack = AsyncExitStack()
            state: State = {}
            try:
                for factory in self._lifespan:
                    await _enter(factory, state, stack, thread)
            except BaseException as error:
                await _unwind(stack)
                if isinstance(error, Exception):
                    logger.exception("start-up failed")
                    await send(_failed("startup", error))
                # Raised in any case: hypercorn would otherwise go on to serve.
                raise
            # The one scope that is to be filled in place: the server gives each request a
            # copy of it. https://asgi.readthedocs.io/en/latest/specs/lifespan.html#lifespan-state
            if "state" in scope:
                scope["state"].update(state)
            try:
                await send({"type": "lifespan.startup.complete"})
                await receive()  # lifespan.shutdown
            except BaseException:
                await _unwind(stack)
                raise
            verdict = await _unwind(stack)
        # Last of all: hypercorn and uvicorn may end the loop once they have it.
        await send(verdict)


async def _enter(
    factory: ContextFactory, state: State, stack: AsyncExitStack, thread: Executor
) -> None:
    """Enter one context, and merge what it yields into *state*."""
    context = factory(state)
    if isinstance(context, AbstractAsyncContextManager):
        yielded = await stack.enter_async_context(context)
    else:
        yielded = await stack.enter_async_context(_in_thread(context, thread))
    if isinstance(yielded, Mapping):
        merge(state, cast("Mapping[str, object]", yielded), source=_name(factory))


async def _unwind(stack: AsyncExitStack) -> Message:
    """Exit every context that was entered, and return the message that tells how it went."""
    try:
        await stack.aclose()
    except Exception as error:
        logger.exception("shutdown failed")
        return _failed("shutdown", error)
    return {"type": "lifespan.shutdown.complete"}


@asynccontextmanager
async def _worker_thread() -> "AsyncGenerator[Executor]":
    """One thread for the sync contexts, which may be tied to the thread that entered them."""
    thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="lifespan")
    try:
        yield thread
    finally:
        thread.shutdown(wait=False)


@asynccontextmanager
async def _in_thread(
    context: AbstractContextManager[object], thread: Executor
) -> "AsyncGenerator[object]":
    loop = asyncio.get_running_loop()
    yielded = await loop.run_in_executor(thread, context.__enter__)
    try:
        yield yielded
    finally:
        await loop.run_in_executor(thread, context.__exit__, None, None, None)


def _failed(when: str, error: Exception) -> Message:
    return {"type": f"lifespan.{when}.failed", "message": f"{type(error).__name__}: {error}"}


def _name(factory: ContextFactory) -> str:
    name: str = getattr(factory, "__qualname__", type(factory).__qualname__)
    return name
