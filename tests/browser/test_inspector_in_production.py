"""The example's page in production: staff play, and strangers neither read nor hide anything."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from example_project.inspector.scenarios.table import SCENARIOS
from tests.servers import conftest
from tests.servers.server import HOST, PATIENCE, Server, manage, serve

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="session")]

UVICORN = (
    *(sys.executable, "-m", "uvicorn", "example_project.asgi:application"),
    *("--host", HOST, "--port", "{port}", "--lifespan", "on"),
)
PASSWORD = "correct horse"

once = conftest.once
environment = conftest.environment
production_environment = conftest.production_environment


@pytest.fixture(scope="module")
def production(
    production_environment: dict[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Server]:
    staff = {**production_environment, "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    manage(staff, "createsuperuser", "--noinput", "--username", "grace", "--email", "g@example.org")
    log = tmp_path_factory.mktemp("production") / "log"
    with serve(UVICORN, log=log, environment=production_environment) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: "Browser", production: Server) -> "AsyncIterator[Page]":
    """The page as staff see it."""
    async with await browser.new_context(reduced_motion="reduce") as context:
        context.set_default_timeout(PATIENCE * 1000)
        page = await context.new_page()
        await page.goto(f"{production.url}/login/?next=/")
        await page.fill("[name=username]", "grace")
        await page.fill("[name=password]", PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await page.locator("#connection[data-state=open]").wait_for()
        yield page


async def test_staff_can_play_all_scenarios_that_one_origin_allows(page: "Page") -> None:
    await page.get_by_role("button", name="Play all").click()
    await page.locator("#play-all:disabled").wait_for()
    await page.locator("#play-all:enabled").wait_for(timeout=6 * PATIENCE * 1000)

    results = {
        await card.get_attribute("data-scenario"): await card.get_attribute("data-result")
        for card in await page.locator("[data-scenario]").all()
    }
    two = {each.name for each in SCENARIOS if any(send.by == "friend" for send in each.send)}
    assert {name for name, result in results.items() if result != "ok"} <= two


async def test_a_stranger_who_floods_the_site_hides_nothing_that_staff_do(
    page: "Page", production: Server
) -> None:
    url = production.url
    await page.request.get(f"{url}/status/", headers={"x-request-id": "before-the-flood"})
    await page.locator("#rows li", has_text="before-the-flood").wait_for()

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        request_id = ("before-the-flood", "-", str(uuid4()))[number % 3]
        # uvicorn with httptools accepts only methods that it knows.
        method = ("GET", "PUT", "PATCH", "REPORT", "PURGE")[number % 5]
        await client.request(method, f"{url}/{uuid4()}/", headers={"x-request-id": request_id})

    async def flood() -> None:
        limits = httpx.Limits(max_connections=20)
        async with httpx.AsyncClient(timeout=PATIENCE, limits=limits) as client:
            for _ in range(40):
                await asyncio.gather(*(ask(client, number) for number in range(20)))

    flooding = asyncio.create_task(flood())
    while not flooding.done():
        await page.request.get(f"{url}/fail/", headers={"x-request-id": "in-the-flood"})
        await asyncio.sleep(0.05)
    await flooding
    await page.request.get(f"{url}/notes/", headers={"x-request-id": "after-the-flood"})

    for request_id, path in (
        ("before-the-flood", "/status/"),
        ("in-the-flood", "/fail/"),
        ("after-the-flood", "/notes/"),
    ):
        row = page.locator("#rows li", has_text=request_id).filter(has_text=path)
        await row.wait_for()
        await row.locator("summary").click()
        await row.locator("dt", has_text="Access log").first.wait_for()
        # A stranger's requests with the same ID are not among its lines.
        lines = [line for line in await row.locator("dd").all_inner_texts() if "client=" in line]
        assert all(f" {path} " in line for line in lines)
    assert await page.locator("#rows li").count() <= 100


async def test_no_line_of_the_log_or_the_page_has_a_secret_of_a_query(
    page: "Page", production: Server
) -> None:
    queries = ("token=secret-1", "a='&token=secret-2", 'a="&token=secret-3', "?token=secret-4")
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        for query in queries:
            for path in ("/status/", "/unknown/", "/fail/", "/scenarios/slow/", "/live/", "/echo/"):
                await client.get(
                    httpx.URL(production.url).copy_with(raw_path=f"{path}?{query}".encode())
                )
    for path in ("/ws/echo/", "/ws/live/", "/ws/unknown/"):
        for query in queries[:2]:
            with suppress(InvalidStatus):  # some are refused
                async with connect(
                    f"{production.websocket_url}{path}?{query}",
                    origin=Origin(production.url),
                    open_timeout=PATIENCE,
                ):
                    pass
    await page.request.get(f"{production.url}/notes/?token=secret-5")
    await page.locator("#rows li", has_text="/notes/").first.wait_for()

    for summary in await page.locator("#rows summary").all():
        await summary.click()
    assert "secret-" not in await page.locator("body").inner_text()
    assert '/ws/echo/?\\u2026\\" [accepted]' in production.log()
    assert "secret-" not in production.log()
