"""A site as `startproject` makes it, with the layers in its asgi.py and the app in its settings."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from .server import HOST, PATIENCE, Server, clean_environment, serve

pytestmark = pytest.mark.process

ASGI = """\
import os

from asgi_middleware import CORSPolicy, stack
from asgi_middleware.django import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

application = stack(
    get_asgi_application(),
    cors=CORSPolicy(allow_origins=["https://app.example"]),
)
"""
SETTINGS = """
from asgi_middleware.django import logging_config

INSTALLED_APPS = ["asgi_middleware.django", *INSTALLED_APPS]
ASGI_APPLICATION = "mysite.asgi.application"
LOGGING = logging_config()
"""


class Site:
    """A project in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "mysite" / "settings.py"
        self.asgi = folder / "mysite" / "asgi.py"

    def manage(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=self.folder,
            env=clean_environment({}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
            check=False,
        )


def started(folder: Path) -> Site:
    subprocess.run(
        [sys.executable, "-m", "django", "startproject", "mysite", str(folder)],
        env=clean_environment({}),
        check=True,
        timeout=PATIENCE * 2,
    )
    site = Site(folder)
    site.asgi.write_text(ASGI)
    site.settings.write_text(site.settings.read_text() + SETTINGS)
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return started(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def server(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    site.manage("migrate", "--verbosity", "0")
    start = (sys.executable, str(site.folder / "manage.py"), "runserver", f"{HOST}:{{port}}")
    log = tmp_path_factory.mktemp("runserver") / "log"
    with serve(start, log=log, environment={"PYTHONPATH": str(site.folder)}) as running:
        yield running


def test_check_finds_nothing(site: Site) -> None:
    result = site.manage("check", "--fail-level", "WARNING")

    assert (result.returncode, result.stdout) == (
        0,
        "System check identified no issues (0 silenced).\n",
    )


def test_check_deploy_finds_what_it_finds_without_us(site: Site, tmp_path: Path) -> None:
    plain = started(tmp_path)
    plain.settings.write_text(plain.settings.read_text().replace(SETTINGS, ""))

    found = [each.manage("check", "--deploy").stderr for each in (site, plain)]

    assert found[0].count("security.W") == found[1].count("security.W") > 0
    assert "asgi_middleware" not in found[0]


def test_asgi_stack_shows_the_layers(site: Site) -> None:
    lines = site.manage("asgi_stack").stdout.splitlines()

    assert [line.partition("(")[0] for line in lines] == [
        "HealthMiddleware",
        "RequestIDMiddleware",
        "TimingMiddleware",
        "CORSMiddleware",
        "WebSocketOriginMiddleware",
        "LifespanMiddleware",
        "ThreadPoolMiddleware",
        "ASGIHandler",
    ]


def test_runserver_serves_the_stack(server: Server) -> None:
    page = httpx.get(server.url, headers={"origin": "https://app.example"}, timeout=PATIENCE)
    probe = httpx.get(f"{server.url}/readyz", timeout=PATIENCE)

    assert page.status_code == 200
    assert page.headers["access-control-allow-origin"] == "https://app.example"
    assert probe.json() == {"status": "ready", "checks": {}}
    identifier = page.headers["x-request-id"]
    [line] = server.log_lines(r"asgi_middleware\.access")
    assert f"[{identifier}] GET / 200" in line


def test_runserver_serves_static_files(server: Server) -> None:
    response = httpx.get(f"{server.url}/static/admin/css/base.css", timeout=PATIENCE)

    assert response.status_code == 200


def test_runserver_says_where_it_serves_what(server: Server) -> None:
    [line] = server.log_lines("^Serving ")

    assert line == f"Serving mysite.asgi.application with uvicorn at {server.url}/"


def test_a_reload_shuts_down_and_starts_again(site: Site, server: Server) -> None:
    urls = site.folder / "mysite" / "urls.py"
    server.log_lines("Application startup complete")

    urls.write_text(urls.read_text() + "\n")
    server.log_lines("Application startup complete", at_least=2)

    assert len(server.log_lines("Application shutdown complete")) == 1
    assert "WARNING asgi_middleware" not in server.log()
    assert httpx.get(f"{server.url}/readyz", timeout=PATIENCE).status_code == 200


def test_a_port_that_is_taken_is_said_as_by_django(site: Site, server: Server) -> None:
    result = site.manage("runserver", "--noreload", f"{HOST}:{server.port}")

    assert result.returncode == 1
    assert "Error: That port is already in use." in result.stderr


def test_an_application_that_cannot_start_fails_the_check(tmp_path: Path) -> None:
    site = started(tmp_path)
    site.asgi.write_text(ASGI.replace("https://app.example", "https://app.example/"))

    result = site.manage("check")

    assert result.returncode == 1
    assert "asgi_middleware.E001" in result.stderr
    assert "ends with a slash; use 'https://app.example'" in result.stderr


def test_without_uvicorn_runserver_says_what_to_install(site: Site) -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None; sys.argv = ['manage.py', 'runserver'];"
        "import manage; manage.main()"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=site.folder,
        env=clean_environment({}),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert result.returncode == 1
    assert "runserver needs uvicorn; install uvicorn" in result.stderr
