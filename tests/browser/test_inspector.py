"""The example's page in a real browser: what it shows, and whether everybody can use it."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import pytest_asyncio

from example_project.inspector.scenarios.table import SCENARIOS, Scenario
from tests.servers.redis import redis
from tests.servers.server import HOST, PATIENCE, Server, manage, serve

if TYPE_CHECKING:
    from playwright.async_api import Browser, ConsoleMessage, Page

pytestmark = [pytest.mark.process, pytest.mark.asyncio(loop_scope="session")]

UVICORN = (
    *(sys.executable, "-m", "uvicorn", "example_project.asgi:application"),
    *("--host", HOST, "--port", "{port}", "--lifespan", "on"),
)
MILLISECONDS = PATIENCE * 1000


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    database = tmp_path_factory.mktemp("inspector") / "db.sqlite3"
    changes = {"DJANGO_ENV": "development", "SQLITE_PATH": str(database)}
    manage(changes, "migrate")
    return changes


@pytest.fixture(scope="module")
def example(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("inspector") / "log"
    with serve(UVICORN, log=log, environment=environment) as server:
        yield server


class Visit:
    """A page, and the errors in its console."""

    def __init__(self, page: "Page") -> None:
        self.page = page
        self.errors: list[str] = []
        page.on("console", self._note)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _note(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    async def opened(self, url: str, state: str = "open") -> "Page":
        await self.page.goto(url)
        await self.says(state)
        return self.page

    async def says(self, state: str) -> str:
        """Wait until the page shows this state of its connection, and return its words."""
        place = self.page.locator(f"#connection[data-state={state}]")
        await place.wait_for(timeout=MILLISECONDS)
        return await place.inner_text()


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: "Browser") -> AsyncIterator[Any]:
    """A function that makes a visit. Its options are those of a browser context."""
    async with AsyncExitStack() as contexts:

        async def visit(**options: Any) -> Visit:
            context = await contexts.enter_async_context(await browser.new_context(**options))
            context.set_default_timeout(MILLISECONDS)
            return Visit(await context.new_page())

        yield visit


async def ask(server: Server, path: str, request_id: str) -> None:
    """Send a request as another visitor does, not as the page."""
    async with httpx.AsyncClient(timeout=PATIENCE) as client:
        await client.get(server.url + path, headers={"x-request-id": request_id})


async def test_a_request_appears_on_the_page(visit: Any, example: Server) -> None:
    page = await (await visit()).opened(example.url)

    await ask(example, "/status/", request_id="seen-in-a-browser")

    row = page.locator("#rows li", has_text="seen-in-a-browser")
    await row.wait_for()
    text = await row.inner_text()
    assert text.split()[:3] == ["GET", "/status/", "200"]
    assert not await page.locator("#empty").is_visible()


async def test_a_click_on_a_request_id_shows_every_place_with_that_id(
    visit: Any, example: Server
) -> None:
    page = await (await visit()).opened(example.url)
    await ask(example, "/fail/", request_id="followed")

    row = page.locator("#rows li", has_text="followed")
    await row.locator(".id").click()
    await row.locator("dt", has_text="Log of django.request").wait_for()

    terms = await row.locator("dt").all_inner_texts()
    places = dict(zip(terms, await row.locator("dd").all_inner_texts(), strict=True))
    assert places["X-Request-ID"] == "followed"
    assert places["Server-Timing"].startswith("app;dur=")
    assert places["Access log"].startswith("INFO GET /fail/ 500 ")
    assert places["Log of django.request"] == "ERROR Internal Server Error: /fail/"


async def test_a_click_on_a_request_id_shows_a_consumers_log_line(
    visit: Any, example: Server
) -> None:
    page = await (await visit()).opened(example.url)
    await page.get_by_role("button", name="Play: WebSocket", exact=True).click()

    row = page.locator("#rows li", has_text="/ws/echo/")
    await row.locator(".id").click()
    await row.locator("dt", has_text="Log of the consumer").wait_for()
    assert "welcomed anonymous" in await row.inner_text()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_every_scenario_turns_green(host: str, visit: Any, example: Server) -> None:
    visiting = await visit(reduced_motion="reduce")
    page = await visiting.opened(f"http://{host}:{example.port}/")

    await page.get_by_role("button", name="Play all").click()
    await page.locator("#play-all:disabled").wait_for()
    await page.locator("#play-all:enabled").wait_for(timeout=6 * MILLISECONDS)

    results = {
        await card.get_attribute("data-scenario"): await card.get_attribute("data-result")
        for card in await page.locator("[data-scenario]").all()
    }
    assert results == {scenario.name: "ok" for scenario in SCENARIOS}
    assert await page.locator("#progress").inner_text() == "17 of 17 went as expected."


@pytest.mark.parametrize(
    "scenario", [pytest.param(each, id=each.name) for each in SCENARIOS if each.name != "drain"]
)
async def test_an_error_in_the_console_is_announced_on_its_card(
    scenario: Scenario, visit: Any, example: Server
) -> None:
    visiting = await visit()
    page = await visiting.opened(example.url)
    card = page.locator(f"[data-scenario={scenario.name}]")

    announced = await card.locator(".console").count() == 1
    await card.get_by_role("button").click()
    await card.and_(page.locator("[data-result=ok]")).wait_for()
    if announced:
        async with asyncio.timeout(PATIENCE):
            while not visiting.errors:
                await page.evaluate("1")  # the console comes in with other messages
    await page.evaluate("1")

    assert announced == bool(scenario.console) == bool(visiting.errors)


VISIBLE = """([card, rows]) => [card, rows].map((selector) => {
    const box = document.querySelector(selector)?.getBoundingClientRect();
    return box && {left: box.left, top: box.top, right: innerWidth - box.right,
                   bottom: innerHeight - box.bottom};
})"""


@pytest.mark.parametrize(
    ("width", "height"),
    [
        pytest.param(1280, 900, id="desktop"),
        pytest.param(1280, 640, id="small desktop"),
        pytest.param(800, 1000, id="tablet"),
        pytest.param(390, 844, id="phone"),
    ],
)
async def test_the_card_that_plays_and_the_rows_beside_it_stay_on_the_screen(
    width: int, height: int, visit: Any, example: Server
) -> None:
    size = {"width": width, "height": height}
    page = await (await visit(viewport=size, reduced_motion="reduce")).opened(example.url)

    await page.get_by_role("button", name="Play all").click()
    await page.locator("#play-all:disabled").wait_for()
    seen = 0
    while await page.locator("#play-all").is_disabled():
        card, rows = await page.evaluate(
            VISIBLE, ["[data-result=playing] .head", "#rows li:first-child summary"]
        )
        for box in filter(None, (card, rows)):
            assert min(box.values()) >= 0, box
        seen += card is not None and rows is not None

    assert seen > 0


async def test_equal_rows_are_one_row_with_a_count(visit: Any, example: Server) -> None:
    page = await (await visit()).opened(example.url)
    await page.locator("[data-scenario=burst]").get_by_role("button").click()

    row = page.locator("#rows li", has_text="/scenarios/blocking/")
    await row.locator(".count", has_text="40").wait_for()
    assert await row.count() == 1

    await row.locator("summary").click()
    await row.locator("dl").last.wait_for()
    assert await row.locator("dl").count() == 5
    assert await row.locator(".places > p").inner_text() == "And 35 before."


async def test_an_open_row_keeps_its_place_and_the_focus(visit: Any, example: Server) -> None:
    page = await (await visit()).opened(example.url)
    await ask(example, "/status/", request_id="read")
    await page.locator("#rows li", has_text="read").locator("summary").click()

    await ask(example, "/livez", request_id="a-probe")
    await ask(example, "/notes/", request_id="above")
    await page.locator("#rows li", has_text="above").wait_for()
    await ask(example, "/status/", request_id="equal")
    await page.locator("#rows li", has_text="equal").wait_for()

    paths = await page.locator("#rows .path").all_inner_texts()
    assert paths[:2] == ["/notes/", "/status/"]
    focused = page.locator("#rows summary:focus")
    assert "/status/" in await focused.inner_text()


async def test_there_are_five_figures_and_they_change(visit: Any, example: Server) -> None:
    page = await (await visit()).opened(example.url)
    served = page.locator('[data-counter="served"]')
    await page.locator('[data-counter="ready"]', has_text="1 of 1").wait_for()
    before = int(await served.inner_text())

    await ask(example, "/status/", request_id="counted")

    assert await page.locator("#counters dt").count() == 5
    async with asyncio.timeout(PATIENCE):
        while int(await served.inner_text()) <= before:
            await page.wait_for_timeout(50)
    assert int(await page.locator('[data-counter="sockets"]').inner_text()) >= 1


async def test_rows_have_the_same_height_and_columns_on_a_phone(
    visit: Any, example: Server
) -> None:
    page = await (await visit(viewport={"width": 390, "height": 844})).opened(example.url)
    for number, path in enumerate(("/status/", "/fail/", f"/{'unknown' * 30}/", "/notes/")):
        await ask(example, path, request_id=f"{'long-' * 30}{number}")
        await page.locator("#rows li", has_text=f"long-{number}").wait_for()
    await page.locator("[data-scenario=burst]").get_by_role("button").click()
    await page.locator("#rows .count", has_text="40").wait_for()

    for cell, side in (("summary", "height"), (".status", "right"), (".took", "right")):
        sides = await page.locator(f"#rows {cell}").evaluate_all(
            "(all, side) => [...new Set(all.map((each) => each.getBoundingClientRect()[side]))]",
            side,
        )
        assert len(sides) == 1, cell
    assert await page.evaluate("document.documentElement.scrollWidth") == 390


async def test_new_rows_are_announced_at_most_every_ten_seconds(
    visit: Any, example: Server
) -> None:
    visiting = await visit()
    await visiting.page.clock.install(time=0)
    page = await visiting.opened(example.url)
    # From now on the page's clock moves only with `run_for`.
    await page.clock.pause_at(3_600_000)
    # Rows arrive in order, so that of the visit itself is there, and announced.
    await _ask_and_see(page, example, "earlier")
    await page.clock.run_for(10_000)
    announcer = page.locator("#announcer")
    await announcer.evaluate("each => { each.textContent = 'nothing'; }")

    for number in range(2):
        await ask(example, "/status/", request_id=f"announced-{number}")
    await _ask_and_see(page, example, "announced-2")
    assert await announcer.inner_text() == "nothing"
    await page.clock.run_for(10_000)

    assert await announcer.inner_text() == "3 more, the last one GET /status/"


async def _ask_and_see(page: "Page", example: Server, request_id: str) -> None:
    """Make a request, and move the page's clock until its row is there, far below ten seconds."""
    await ask(example, "/status/", request_id=request_id)
    async with asyncio.timeout(PATIENCE):
        while not await page.locator("#rows li", has_text=request_id).count():
            await page.clock.run_for(10)


async def test_nothing_moves_for_visitors_who_prefer_that(visit: Any, example: Server) -> None:
    moving = []
    for preference in ("reduce", "no-preference"):
        page = await (await visit(reduced_motion=preference)).opened(example.url)
        await ask(example, "/status/", request_id="moving")
        row = page.locator("#rows li", has_text="moving")
        await row.wait_for()
        moving.append(await row.evaluate("each => getComputedStyle(each).animationName"))

    assert moving == ["none", "arrive"]


async def test_without_javascript_the_page_says_so(visit: Any, example: Server) -> None:
    page = (await visit(java_script_enabled=False)).page
    await page.goto(example.url)

    assert "manage.py scenarios" in await page.locator(".noscript").inner_text()
    assert await page.get_by_role("button", name="Play all").is_disabled()


async def test_the_page_says_that_a_scenario_is_not_as_expected(
    visit: Any, example: Server
) -> None:
    visiting = await visit()
    await visiting.page.route(
        "**/scenarios/burst/", lambda route: route.fulfill(json={"responses": 39, "at_work": 41})
    )
    page = await visiting.opened(example.url)

    await page.get_by_role("button", name="Play: Burst of sync views").click()

    card = page.locator("[data-scenario=burst][data-result=bad]")
    await card.wait_for()
    assert await card.locator(".verdict").inner_text() == "✗ Not as expected"
    assert await card.locator("dd").all_inner_texts() == ["39, not 40", "41, not at most 16"]


async def test_the_page_says_that_it_is_not_connected_and_reconnects(
    visit: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    visiting = await visit()
    with ExitStack() as first:
        server = first.enter_context(serve(UVICORN, log=tmp_path / "1", environment=environment))
        page = await visiting.opened(server.url)
        server.stop()
        assert await visiting.says("closed") == "Not connected. Trying again …"

        again = [part.replace("{port}", str(server.port)) for part in UVICORN]
        with serve(again, log=tmp_path / "2", environment=environment, listening=False) as second:
            assert await visiting.says("open") == "Connected over a WebSocket."
            await ask(server, "/status/", request_id="afterwards")
            await page.locator("#rows li", has_text="afterwards").wait_for()
            second.process.terminate()


async def test_the_page_says_that_redis_is_gone_and_reconnects(
    visit: Any, environment: dict[str, str], tmp_path: Path
) -> None:
    visiting = await visit()
    with redis() as own:
        changes = {**environment, **own.environment}
        with serve(UVICORN, log=tmp_path / "log", environment=changes) as server:
            page = await visiting.opened(server.url)
            own.stop()
            assert await visiting.says("closed") == "Not connected. Trying again …"
            async with httpx.AsyncClient(timeout=PATIENCE) as client:
                assert (await client.get(f"{server.url}/status/")).status_code == 200

            own.start()
            await visiting.says("open")
            await page.locator("[data-scenario=forged-id]").get_by_role("button").click()
            await page.locator("#rows li", has_text="scenarios/allowed/").first.wait_for()


async def test_without_websockets_the_page_uses_server_sent_events(
    visit: Any, example: Server
) -> None:
    visiting = await visit()
    await visiting.page.add_init_script(
        "window.WebSocket = class { constructor() { throw new Error('none here'); } };"
    )
    await visiting.page.goto(example.url)

    assert await visiting.says("open") == "Connected over server-sent events."
    await ask(example, "/status/", request_id="streamed")
    await visiting.page.locator("#rows li", has_text="streamed").wait_for()
    assert visiting.errors == []


async def test_the_waterfall_can_be_paused(visit: Any, example: Server) -> None:
    page = await (await visit()).opened(example.url)
    pause = page.get_by_role("button", name="Pause")
    await pause.click()
    assert await pause.get_attribute("aria-pressed") == "true"
    # Remove the rows of the page's own requests.
    await page.get_by_role("button", name="Clear").click()
    assert await page.locator("#empty").is_visible()

    played = page.locator("[data-scenario=forged-id]")
    await played.get_by_role("button").click()
    # Its event comes before that of the slow scenario, for which the page waits.
    await page.locator("[data-scenario=slow]").get_by_role("button").click()
    await page.locator("[data-scenario=slow][data-result=ok]").wait_for()
    assert await page.locator("#rows li").count() == 0

    await pause.click()
    await page.locator("#rows li", has_text="scenarios/allowed/").wait_for()


async def test_the_page_can_be_used_by_keyboard_alone(visit: Any, example: Server) -> None:
    page = await (await visit()).opened(example.url)
    await ask(example, "/status/", request_id="by-keyboard")
    row = page.locator("#rows li", has_text="by-keyboard")
    await row.wait_for()

    await page.get_by_role("button", name="Clear").focus()
    await page.keyboard.press("Tab")  # the list, because it can scroll
    while not await row.locator("summary").evaluate("each => each === document.activeElement"):
        await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")

    assert await row.locator("details").get_attribute("open") is not None


async def test_a_button_keeps_the_focus_while_its_scenario_plays(
    visit: Any, example: Server
) -> None:
    page = await (await visit()).opened(example.url)
    button = page.get_by_role("button", name="Play: Stream")
    await button.focus()
    await page.keyboard.press("Enter")
    await page.locator("[data-scenario=stream][data-result=ok]").wait_for()

    assert await button.evaluate("each => each === document.activeElement")


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"viewport": {"width": 1200, "height": 900}}, id="desktop"),
        pytest.param({"color_scheme": "dark"}, id="dark"),
        pytest.param({"viewport": {"width": 360, "height": 740}}, id="phone"),
    ],
)
async def test_the_page_is_accessible(options: dict[str, Any], visit: Any, example: Server) -> None:
    from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]

    page = await (await visit(**options)).opened(example.url)
    for name in ("Forged ID", "View that raises"):
        await page.get_by_role("button", name=f"Play: {name}").click()
    await page.locator("#rows summary").first.click()
    await page.locator("[data-scenario=raises][data-result=ok]").wait_for()

    # The tint of a row that has just arrived fades. It is looked at before that.
    await page.evaluate(
        "document.getAnimations().forEach((each) => { each.pause(); each.currentTime = 0; })"
    )
    # The page's policy allows only its own scripts. The debugger bypasses it to run axe.
    results = await Axe().run(page)

    assert [violation["id"] for violation in results.response["violations"]] == []
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= options.get("viewport", {"width": 1280})["width"]
