"""A new project, tested with Django's TestCase, with pytest-django, and with pytest alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from .postgresql import PostgreSQL
from .server import PATIENCE, clean_environment

pytestmark = pytest.mark.process

FILES = {
    "prices/__init__.py": "",
    "prices/apps.py": """\
from contextlib import asynccontextmanager

from django.apps import AppConfig

from asgi_middleware import register_lifespan


@asynccontextmanager
async def prices(state):
    yield {"prices": {"apple": 3}}


class PricesConfig(AppConfig):
    name = "prices"

    def ready(self):
        register_lifespan(prices)
""",
    "mysite/asgi.py": """\
import os

from asgi_middleware import stack
from asgi_middleware.django import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")

application = stack(get_asgi_application())
""",
    "mysite/urls.py": """\
from django.contrib.auth.models import Group
from django.http import HttpResponse, JsonResponse
from django.urls import path

from asgi_middleware import get_state, get_tasks


def prices(request):
    return JsonResponse(get_state()["prices"])


async def who(request):
    user = await request.auser()
    return HttpResponse(user.get_username() or "nobody")


def groups(request):
    if request.method == "POST":
        Group.objects.create(name=request.POST["name"])
    return HttpResponse("+".join(group.name for group in Group.objects.order_by("name")))


urlpatterns = [path("prices/", prices), path("who/", who), path("groups/", groups)]
""",
}
SETTINGS = """
INSTALLED_APPS += ["prices"]
ASGI_APPLICATION = "mysite.asgi.application"
# Hashing as slowly as Django does by default, and migrating, would take most of the time.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
if "PGHOST" in os.environ:
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["PGHOST"],
        "USER": os.environ["PGUSER"],
        "NAME": os.environ["PGDATABASE"],
        "TEST": {"MIGRATE": False},
    }
else:
    # Django closes no connection to a database in memory, and Python 3.13 warns of that.
    DATABASES["default"]["TEST"] = {"NAME": BASE_DIR / "test.sqlite3", "MIGRATE": False}
"""

IN_DJANGOS_WAY = """\
from django.contrib.auth.models import Group, User
from django.test import TestCase

from asgi_middleware.testing.django import StackClient, override_state


class WholeTests(TestCase):
    async_client_class = StackClient

    async def test_1_a_user_of_this_test_is_logged_in(self):
        user = await User.objects.acreate_user("ada", password="a password")
        async with self.async_client as client:
            await client.aforce_login(user)
            self.assertContains(await client.get("/who/"), "ada")
            await client.alogout()
            self.assertContains(await client.get("/who/"), "nobody")
            self.assertTrue(await client.alogin(username="ada", password="a password"))
            self.assertContains(await client.get("/who/"), "ada")

    async def test_2_rows_are_seen_on_both_sides(self):
        await Group.objects.acreate(name="a")
        async with self.async_client as client:
            response = await client.post("/groups/", {"name": "b"})
            self.assertEqual(response.text, "a+b")
            self.assertEqual(await Group.objects.acount(), 2)
        self.assertEqual(await Group.objects.acount(), 2)

    async def test_3_rows_are_gone_with_their_test(self):
        async with self.async_client as client:
            self.assertEqual((await client.get("/groups/")).text, "")
        self.assertEqual(await User.objects.acount(), 0)

    async def test_4_the_app_has_opened_its_context(self):
        with self.assertNoLogs("asgi_middleware", "WARNING"):
            async with self.async_client as client:
                self.assertEqual((await client.get("/prices/")).json(), {"apple": 3})

    @override_state(prices={"pear": 4})
    def test_5_a_view_alone(self):
        self.assertEqual(self.client.get("/prices/").json(), {"pear": 4})
"""

WITH_PYTEST = """\
import pytest
from django.contrib.auth.models import Group, User


@pytest.mark.asyncio
async def test_the_app_has_opened_its_context(asgi_client):
    response = await asgi_client.get("/prices/")

    assert response.json() == {"apple": 3}
    assert response.headers["X-Request-ID"]


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_a_user_is_logged_in(asgi_client):
    user = await User.objects.acreate_user("ada")
    await asgi_client.aforce_login(user)

    assert (await asgi_client.get("/who/")).text == "ada"


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_rows_are_seen_on_both_sides(asgi_client):
    await Group.objects.acreate(name="a")
    response = await asgi_client.post("/groups/", {"name": "b"})

    assert response.text == "a+b"
    assert await Group.objects.acount() == 2


@pytest.mark.asyncio
@pytest.mark.django_db(transaction=True)
async def test_rows_are_gone_with_their_test(asgi_client):
    assert (await asgi_client.get("/groups/")).text == ""


def test_a_view_alone(client, override_state):
    state = override_state(prices={"pear": 4})

    assert client.get("/prices/").json() == state["prices"] == {"pear": 4}


def test_the_state_ends_with_its_test(client):
    with pytest.raises(LookupError, match="override_state"):
        client.get("/prices/")


@pytest.mark.asyncio
async def test_it_is_overridden_for_async_tests(async_client, override_state):
    override_state(prices={"pear": 4})

    assert (await async_client.get("/prices/")).json() == {"pear": 4}
"""

# Without the plugins that it does not need, pytest starts in half the time.
INI = """\
[pytest]
addopts = -p no:anyio -p no:hypothesispytest -p no:xdist
asyncio_mode = {mode}
asyncio_default_fixture_loop_scope = function
filterwarnings = error
"""
DJANGO = "DJANGO_SETTINGS_MODULE = mysite.settings\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    run(folder, "-m", "django", "startproject", "mysite", str(folder))
    (folder / "prices").mkdir()
    for name, content in FILES.items():
        (folder / name).write_text(content)
    settings = folder / "mysite" / "settings.py"
    settings.write_text(f"import os\n{settings.read_text()}{SETTINGS}")
    (folder / "tests.py").write_text(IN_DJANGOS_WAY)
    (folder / "test_with_pytest.py").write_text(WITH_PYTEST)
    return folder


def run(folder: Path, *command: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=clean_environment({"PYTEST_ADDOPTS": "", **environment}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=4 * PATIENCE,
    )


def test_django_test_cases_pass_on_sqlite(project: Path) -> None:
    ended = run(project, "-W", "error::ResourceWarning", "manage.py", "test")

    assert ended.returncode == 0, ended.stderr
    assert "Ran 5 tests" in ended.stderr


def test_django_test_cases_pass_on_postgresql(project: Path, postgresql: PostgreSQL) -> None:
    ended = run(project, "manage.py", "test", "--noinput", **postgresql.environment)

    assert ended.returncode == 0, ended.stderr
    assert "Ran 5 tests" in ended.stderr


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_pytest_django_offers_our_fixtures(project: Path, mode: str) -> None:
    pytest.importorskip("pytest_django", reason="needs pytest-django")
    (project / "pytest.ini").write_text(INI.format(mode=mode) + DJANGO)

    ended = run(project, "-m", "pytest", "-q", "test_with_pytest.py")

    assert ended.returncode == 0, ended.stdout
    assert "7 passed" in ended.stdout


def test_pytest_django_offers_our_fixtures_on_postgresql(
    project: Path, postgresql: PostgreSQL
) -> None:
    pytest.importorskip("pytest_django", reason="needs pytest-django")
    (project / "pytest.ini").write_text(INI.format(mode="strict") + DJANGO)

    ended = run(project, "-m", "pytest", "-q", "test_with_pytest.py", **postgresql.environment)

    assert ended.returncode == 0, ended.stdout
    assert "7 passed" in ended.stdout


CONFTEST = """\
import os

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
django.setup()

from asgi_middleware.testing.fixtures import asgi_client, override_state
"""
WITHOUT = """\
import pytest

from asgi_middleware import get_state


@pytest.mark.asyncio
async def test_the_client(asgi_client):
    assert (await asgi_client.get("/livez")).status_code == 200


def test_the_state(override_state):
    override_state(word="hello")
    assert get_state()["word"] == "hello"
"""


def test_without_pytest_django_the_fixtures_are_missing_until_they_are_imported(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "test_without.py").write_text(WITHOUT)
    (tmp_path / "pytest.ini").write_text(INI.format(mode="strict"))
    pytest_without = ("-m", "pytest", "-q", "-p", "no:django", "test_without.py")

    missing = run(tmp_path, *pytest_without)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    imported = run(tmp_path, *pytest_without, PYTHONPATH=str(project))

    assert "fixture 'asgi_client' not found" in missing.stdout
    assert "fixture 'override_state' not found" in missing.stdout
    assert "2 passed" in imported.stdout, imported.stdout
