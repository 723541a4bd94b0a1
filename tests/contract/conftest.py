"""A fixture that starts apps as a server does."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from asgi_middleware.types import ASGIApp

from .exchanges import serving
from .middleware import Row

Serve = Callable[[Row, ASGIApp], Awaitable[ASGIApp]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Yield a function that wraps an app in a row's middleware and starts both.

    Both are stopped at the end of the test.
    """
    async with AsyncExitStack() as stack:

        async def serve(row: Row, app: ASGIApp) -> ASGIApp:
            return await stack.enter_async_context(serving(row.make, app))

        yield serve
