"""What Chromium allows, and what the model of a browser in tests/cors/browser.py allows."""

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from asgi_middleware.types import ASGIApp
from tests.cors.browser import Page, fetch, readable_headers
from tests.servers.server import Server

from .sites import REQUESTS, SITES, application

if TYPE_CHECKING:
    from playwright.async_api import Browser
    from playwright.async_api import Page as ChromiumPage

every_site = pytest.mark.parametrize("name", SITES)

# Returns a promise of {request: names of the headers that a script may read}, without the
# requests that end in a network error.
FETCH_ALL = """
    async ([url, requests]) => {
        const readable = {};
        await Promise.all(Object.entries(requests).map(async ([name, request]) => {
            const {credentials, ...options} = request;
            options.credentials = credentials ? "include" : "omit";
            try {
                const response = await fetch(url + name, options);
                readable[name] = [...response.headers.keys()].sort();
            } catch (error) {
                if (!(error instanceof TypeError)) throw error;
            }
        }));
        return readable;
    }
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(browser: "Browser", site: Server) -> AsyncIterator["ChromiumPage"]:
    """One page for all sites, because no two requests have the same URL."""
    async with await browser.new_page() as page:
        await page.goto(f"http://localhost:{site.port}/")
        yield page


@pytest.mark.process
@pytest.mark.asyncio(loop_scope="session")
@every_site
async def test_chromium_allows_only_these_requests(
    name: str, page: "ChromiumPage", site: Server
) -> None:
    readable = await page.evaluate(
        FETCH_ALL, [f"http://127.0.0.1:{site.port}/sites/{name}/", dict(REQUESTS)]
    )

    assert readable == {
        request: sorted(SITES[name].readable)
        for request in SITES[name].allowed | SITES[name].chromium_allows
    }


@every_site
async def test_the_model_of_a_browser_allows_only_these_requests(name: str) -> None:
    app = application("http://localhost:8000")

    readable = {
        request: names
        for request, options in REQUESTS.items()
        if (names := await _readable(app, Page("http://localhost:8000", **options), name))
    }

    assert readable == {request: sorted(SITES[name].readable) for request in SITES[name].allowed}


async def _readable(app: ASGIApp, page: Page, name: str) -> list[str] | None:
    response = await fetch(app, page, f"/sites/{name}/")
    return None if response is None else sorted(readable_headers(page, response))
