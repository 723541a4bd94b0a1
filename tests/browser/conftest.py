"""A browser, and the site that its pages come from."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from tests.servers.missing import missing, program
from tests.servers.server import Server, serve

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

UVICORN = (
    *("env", "PAGES_PORT={port}"),
    *(sys.executable, "-m", "uvicorn", "tests.browser.app:application"),
    *("--host", "127.0.0.1", "--port", "{port}"),
    # httptools accepts only the methods that it knows, but pages may send any token.
    *("--http", "h11"),
    # Without headers of the server, all headers that scripts may read are the app's.
    *("--no-server-header", "--no-date-header"),
)
CHROMIUM_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)

OpenPage = Callable[[str], Awaitable["Page"]]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(UVICORN, log=tmp_path_factory.mktemp("site") / "log") as server:
        yield server


# Playwright's sync API leaves a running loop in the thread, so other async tests could not start
# theirs. Its async API needs the loop that it started with, which is the session's.
@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator["Browser"]:
    """Chromium with a profile of its own, for all tests. Each page has a context of its own."""
    try:
        from playwright.async_api import async_playwright
    except ImportError:
        missing("Playwright, which the dev extra brings")
    chromium = program("chromium", "chromium")
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(
            executable_path=chromium, args=list(CHROMIUM_FLAGS)
        ) as browser,
    ):
        yield browser


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: "Browser", site: Server) -> AsyncIterator[OpenPage]:
    """A function that opens a page of the site on the host that it is given."""
    async with AsyncExitStack() as contexts:

        async def open_page(host: str) -> "Page":
            context = await contexts.enter_async_context(await browser.new_context())
            page = await context.new_page()
            await page.goto(f"http://{host}:{site.port}/")
            return page

        yield open_page
