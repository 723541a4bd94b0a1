"""Take the pictures of the example that the README shows: ``make screenshots``.

Needs Chromium, Debian's package ``chromium``, and the dev extra.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
sys.path.insert(0, str(ROOT))

from tests.browser.conftest import CHROMIUM_FLAGS
from tests.servers.server import clean_environment, serve
from tests.servers.test_example_on_uvicorn import UVICORN

NOTES = ("One line in asgi.py, and every request has an ID.", "Sync view, one ORM query.")


def main() -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("There is no Chromium; on Debian the package `chromium` brings it.")
    with tempfile.TemporaryDirectory() as scratch:
        environment = {"DJANGO_ENV": "development", "SQLITE_PATH": f"{scratch}/db.sqlite3"}
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=ROOT, env=clean_environment(environment), check=True)
        log = Path(scratch) / "log"
        with (
            serve(UVICORN, log=log, environment=environment) as server,
            sync_playwright() as playwright,
            playwright.chromium.launch(executable_path=chromium, args=[*CHROMIUM_FLAGS]) as browser,
        ):
            page = browser.new_page(viewport={"width": 1100, "height": 640}, device_scale_factor=2)
            for note in NOTES:
                page.goto(server.url)
                page.get_by_label("Leave a line").fill(note)
                page.get_by_role("button", name="Save").click()
            page.get_by_text("anonymous").wait_for()
            IMAGES.mkdir(parents=True, exist_ok=True)
            page.screenshot(path=IMAGES / "example.png", full_page=True)


if __name__ == "__main__":
    main()
