"""Apps under test, started as a server starts them."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from asgi_middleware.types import ASGIApp

from .exchanges import serving
from .middleware import Row

Serve = Callable[[Row, ASGIApp], Awaitable[ASGIApp]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """A function that puts a row's middleware around an app and starts the two.

    They are stopped at the end of the test.
    """
    async with AsyncExitStack() as stack:

        async def serve(row: Row, app: ASGIApp) -> ASGIApp:
            return await stack.enter_async_context(serving(row.make, app))

        yield serve
