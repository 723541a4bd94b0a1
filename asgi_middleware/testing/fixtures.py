"""Fixtures for pytest. pytest-django makes them available; without it, import them:

# conftest.py
from asgi_middleware.testing.fixtures import asgi_client, override_state
"""

from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import sync_to_async

try:
    from pytest_asyncio import fixture as _async_fixture
except ImportError:  # another plugin, such as anyio's, runs async fixtures
    _async_fixture = pytest.fixture  # type: ignore[assignment]

if TYPE_CHECKING:
    from .django import StackClient

__all__ = ["asgi_client", "override_state"]


@_async_fixture
async def asgi_client() -> "AsyncGenerator[StackClient]":
    """A :class:`StackClient` for ``ASGI_APPLICATION``, between its startup and its shutdown.

    Afterwards, the database connections that the test itself has opened are closed, too: a test
    database cannot be dropped while a connection to it is open.
    """
    from django.db import connections

    from .django import StackClient

    async with StackClient() as client:
        yield client
    await sync_to_async(connections.close_all)()


@pytest.fixture
def override_state() -> Generator[Callable[..., dict[str, Any]]]:
    """Replace what startup opens, until the end of the test.

    ``state = override_state(client=FakeClient())``
    """
    from .django import override_state

    with ExitStack() as overridden:

        def override(**values: Any) -> dict[str, Any]:
            return overridden.enter_context(override_state(**values))

        yield override
