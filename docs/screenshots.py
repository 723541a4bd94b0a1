"""Take the pictures of the example that the README shows: ``make screenshots``.

Needs Chromium, Debian's package ``chromium``, and the dev extra.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
sys.path.insert(0, str(ROOT))

from tests.browser.conftest import CHROMIUM_FLAGS
from tests.servers.example import UVICORN
from tests.servers.server import manage, serve

if TYPE_CHECKING:
    from playwright.sync_api import Page


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("There is no Chromium; on Debian the package `chromium` brings it.")
    IMAGES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        environment = {"DJANGO_ENV": "development", "SQLITE_PATH": f"{scratch}/db.sqlite3"}
        manage(environment, "migrate")
        log = Path(scratch) / "log"
        with (
            serve(UVICORN, log=log, environment=environment) as server,
            sync_playwright() as playwright,
            playwright.chromium.launch(executable_path=chromium, args=[*CHROMIUM_FLAGS]) as browser,
        ):
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            play(page, server.url)
            page.screenshot(path=IMAGES / "example.png")
            follow(page)
            page.locator(".live").screenshot(path=IMAGES / "example-id.png")

            phone = browser.new_page(
                viewport={"width": 390, "height": 844}, color_scheme="dark", device_scale_factor=2
            )
            play(phone, server.url)
            phone.screenshot(path=IMAGES / "example-phone.png")


def play(page: "Page", url: str) -> None:
    """Play the scenarios that show most, and let another visitor read the page."""
    page.goto(url)
    page.locator("#connection[data-state=open]").wait_for()
    for scenario in (
        "burst",
        "stream",
        "upload",
        "late",
        "refused-origin",
        "preflight",
        "slow",
        "client-leaves",
        "raises",
    ):
        card = page.locator(f"[data-scenario={scenario}]")
        card.get_by_role("button").click()
        card.and_(page.locator("[data-result=ok]")).wait_for()
    page.request.get(url, headers={"x-request-id": "another-visitor"})
    page.locator("#rows li", has_text="another-visitor").wait_for()
    # Where a reader begins, not where the last click was, and with nothing that still fades.
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    page.wait_for_timeout(2_000)


def follow(page: "Page") -> None:
    """Open the row of the view that raised."""
    row = page.locator("#rows li", has_text="/fail/")
    row.locator("summary").click()
    row.locator("dt", has_text="Log of django.request").wait_for()


if __name__ == "__main__":
    main()
