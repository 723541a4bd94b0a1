"""A site as `startproject` makes it, with the layers in its asgi.py and the app in its settings."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
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
URLS = """
import asyncio

from django.http import HttpResponse, StreamingHttpResponse


async def ticks():
    while True:
        yield b"tick"
        await asyncio.sleep(0.05)


def events(request):
    return StreamingHttpResponse(ticks())


def home(request):
    return HttpResponse("hello")


urlpatterns += [path("", home), path("events/", events)]
"""


class Site:
    """A project in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = folder / "mysite" / "settings.py"
        self.asgi = folder / "mysite" / "asgi.py"
        self.urls = folder / "mysite" / "urls.py"

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


@pytest.fixture(scope="module")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the layers. Each site is a copy of it."""
    folder = tmp_path_factory.mktemp("new")
    subprocess.run(
        [sys.executable, "-m", "django", "startproject", "mysite", str(folder)],
        env=clean_environment({}),
        check=True,
        timeout=PATIENCE * 2,
    )
    site = Site(folder)
    site.asgi.write_text(ASGI)
    site.settings.write_text(site.settings.read_text() + SETTINGS)
    site.urls.write_text(site.urls.read_text() + URLS)
    return folder


@pytest.fixture(scope="module")
def site(new_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(shutil.copytree(new_project, tmp_path_factory.mktemp("sites") / "site"))


@pytest.fixture
def own_site(new_project: Path, tmp_path: Path) -> Site:
    """A site that the test changes."""
    return Site(shutil.copytree(new_project, tmp_path / "site"))


@contextmanager
def runserver(site: Site, log: Path, *options: str, listening: bool = True) -> Generator[Server]:
    command = (sys.executable, str(site.folder / "manage.py"), "runserver", *options)
    environment = {"PYTHONPATH": str(site.folder)}
    with serve(command, log=log, environment=environment, listening=listening) as running:
        yield running


@pytest.fixture(scope="module")
def server(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    site.manage("migrate", "--verbosity", "0")
    log = tmp_path_factory.mktemp("runserver") / "log"
    with runserver(site, log, f"{HOST}:{{port}}") as running:
        yield running


def test_check_finds_nothing(site: Site) -> None:
    result = site.manage("check", "--fail-level", "WARNING")

    assert (result.returncode, result.stdout) == (
        0,
        "System check identified no issues (0 silenced).\n",
    )


def test_check_deploy_finds_the_same_with_and_without_our_app(site: Site, own_site: Site) -> None:
    own_site.settings.write_text(own_site.settings.read_text().replace(SETTINGS, ""))

    found = [each.manage("check", "--deploy").stderr for each in (site, own_site)]

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
    # Other tests may have requested the excluded paths. The probe is not logged.
    [line] = server.log_lines(r"asgi_middleware\.access.* GET (?!/static/|/events/)")
    assert f"[{identifier}] GET / 200" in line


def test_runserver_serves_static_files(server: Server) -> None:
    response = httpx.get(f"{server.url}/static/admin/css/base.css", timeout=PATIENCE)

    assert response.status_code == 200


def test_runserver_prints_the_application_and_its_address(server: Server) -> None:
    [line] = server.log_lines("^Serving ")

    assert line == f"Serving mysite.asgi.application with uvicorn at {server.url}/"


def test_a_reload_shuts_down_and_starts_again(site: Site, server: Server) -> None:
    server.log_lines("Application startup complete")

    with httpx.stream("GET", f"{server.url}/events/", timeout=PATIENCE) as stream:
        events = b""
        for event in stream.iter_raw():
            events += event
            os.utime(site.urls)  # repeatedly: the reloader may not look yet
    server.log_lines("Application startup complete", at_least=2)

    assert events.startswith(b"tick")
    assert len(server.log_lines("Application shutdown complete")) == 1
    assert "WARNING asgi_middleware" not in server.log()
    assert "Traceback" not in server.log()
    assert httpx.get(f"{server.url}/readyz", timeout=PATIENCE).status_code == 200


def a_terminal(process: "subprocess.Popen[bytes]") -> None:
    """Press Ctrl-C: a terminal signals every process of the group."""
    os.killpg(process.pid, signal.SIGINT)


def a_supervisor(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()


@pytest.mark.parametrize("options", [(), ("--noreload",)], ids=["reloader", "noreload"])
@pytest.mark.parametrize("tells", [a_terminal, a_supervisor], ids=lambda each: each.__name__)
def test_runserver_completes_streams_and_shuts_down_for_a_terminal_and_a_supervisor(
    options: tuple[str, ...],
    tells: Callable[["subprocess.Popen[bytes]"], None],
    site: Site,
    tmp_path: Path,
) -> None:
    with runserver(site, tmp_path / "log", *options, f"{HOST}:{{port}}") as running:
        with httpx.stream("GET", f"{running.url}/events/", timeout=PATIENCE) as stream:
            parts = stream.iter_raw()
            assert next(parts) == b"tick"
            tells(running.process)
            assert set(parts) == {b"tick"}  # httpx raises if it is cut off
        status = running.process.wait(PATIENCE)

    by_signal = -signal.SIGTERM if options and tells is a_supervisor else 0
    assert status == by_signal
    assert len(running.log_lines("Application shutdown complete")) == 1
    assert "Traceback" not in running.log()


def test_port_0_picks_a_free_port(site: Site, tmp_path: Path) -> None:
    with runserver(site, tmp_path / "log", "--noreload", f"{HOST}:0", listening=False) as running:
        [line] = running.log_lines("^Serving ")

        url = line.rpartition(" ")[2]
        assert httpx.get(f"{url}readyz", timeout=PATIENCE).status_code == 200


@pytest.mark.parametrize(
    ("options", "settings", "status"),
    [
        ([], "", 200),
        (["--nostatic"], "", 404),
        ([], "DEBUG, ALLOWED_HOSTS = False, ['*']", 404),
        (["--insecure"], "DEBUG, ALLOWED_HOSTS = False, ['*']", 200),
    ],
    ids=["debug", "nostatic", "no debug", "insecure"],
)
def test_static_files_are_served_as_they_are_by_djangos_runserver(
    options: list[str], settings: str, status: int, own_site: Site, tmp_path: Path
) -> None:
    own_site.settings.write_text(f"{own_site.settings.read_text()}\n{settings}\n")

    with runserver(
        own_site, tmp_path / "log", "--noreload", *options, f"{HOST}:{{port}}"
    ) as running:
        response = httpx.get(f"{running.url}/static/admin/css/base.css", timeout=PATIENCE)

    assert response.status_code == status


def test_runserver_works_without_staticfiles(own_site: Site, tmp_path: Path) -> None:
    text = own_site.settings.read_text()
    own_site.settings.write_text(text.replace("    'django.contrib.staticfiles',\n", ""))

    with runserver(own_site, tmp_path / "log", "--noreload", f"{HOST}:{{port}}") as running:
        assert httpx.get(f"{running.url}/readyz", timeout=PATIENCE).status_code == 200


def test_runserver_finds_the_application_beside_the_one_for_wsgi(
    own_site: Site, tmp_path: Path
) -> None:
    text = own_site.settings.read_text()
    own_site.settings.write_text(text.replace('ASGI_APPLICATION = "mysite.asgi.application"', ""))

    with runserver(own_site, tmp_path / "log", "--noreload", f"{HOST}:{{port}}") as running:
        assert httpx.get(f"{running.url}/readyz", timeout=PATIENCE).status_code == 200


def test_without_an_application_runserver_says_which_setting_to_use(own_site: Site) -> None:
    own_site.settings.write_text(
        f"{own_site.settings.read_text()}\ndel ASGI_APPLICATION, WSGI_APPLICATION\n"
    )

    result = own_site.manage("runserver", "--noreload", f"{HOST}:0")

    assert result.returncode == 1
    assert (
        "CommandError: ASGI_APPLICATION is not set; use ASGI_APPLICATION ="
        " 'mysite.asgi.application'" in result.stderr
    )


def test_a_startup_that_fails_ends_runserver_with_the_reason(own_site: Site) -> None:
    fails = """
from contextlib import asynccontextmanager


@asynccontextmanager
async def client(state):
    raise RuntimeError("no broker")
    yield


application = stack(get_asgi_application(), lifespan=[client])
"""
    own_site.asgi.write_text(ASGI + fails)

    result = own_site.manage("runserver", "--noreload", f"{HOST}:0")

    assert result.returncode == 3
    assert "no broker" in result.stderr


def test_a_port_that_is_taken_gets_djangos_error(site: Site, server: Server) -> None:
    result = site.manage("runserver", "--noreload", f"{HOST}:{server.port}")

    assert result.returncode == 1
    assert "Error: That port is already in use." in result.stderr


def test_an_application_that_cannot_start_fails_the_check(own_site: Site) -> None:
    own_site.asgi.write_text(ASGI.replace("https://app.example", "https://app.example/"))

    result = own_site.manage("check")

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
