"""Every Python example in README.md and docs/ runs.

The examples of a page run in order, as one module in a process of its own, in a project that
`startproject` has made. Afterwards, the code in ``AFTER`` uses what they define.
"""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .process import ROOT, output_of

PAGES = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
    if path.name != "tutorial.md"  # test_tutorial.py types it
}
EXAMPLE = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+) -->\n)?```python\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)

# The project of the pages, from `startproject`, with a consumer. The page is its asgi.py.
PROJECT = """
import asyncio, os, sys
from types import ModuleType, SimpleNamespace
import django

sys.path.insert(0, os.environ["PROJECT"])
os.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
django.setup()
from channels.generic.websocket import AsyncWebsocketConsumer

class ChatConsumer(AsyncWebsocketConsumer):
    async def connect(self):
        self.scope.setdefault("state", {})
        await self.accept()

__package__ = "mysite"
sys.modules["mysite.asgi"] = sys.modules["__main__"]
sys.modules["mysite.consumers"] = SimpleNamespace(ChatConsumer=ChatConsumer)
"""

# Code that a page needs and does not define.
BEFORE = {
    # The README also shows the asgi.py of the example project.
    "README.md": """
__package__ = "example_project"
""",
    "docs/deployment.md": """
from contextlib import asynccontextmanager
from functools import partial
from django.core.asgi import get_asgi_application
from asgi_middleware import *

@asynccontextmanager
async def publisher(state):
    yield {"publisher": "open"}
""",
    "docs/migrating.md": """
# The settings of the page.
from django.conf import settings
settings.CORS_ALLOWED_ORIGINS = ["https://app.example"]

sent = []
statsd = SimpleNamespace(timing=lambda *arguments, tags: sent.append((*arguments, tags)))
sys.modules["datadog"] = SimpleNamespace(statsd=statsd)

# FastAPI's add_middleware is Starlette's.
from starlette.applications import Starlette
sys.modules["fastapi"] = SimpleNamespace(FastAPI=Starlette)
""",
}

# Code that uses the definitions of a page.
AFTER = {
    "docs/limits.md": """
from asgi_middleware.testing import request

async def statuses(app, target, size):
    return (await request(app, "POST", target, body=b"x" * size)).status

assert asyncio.run(statuses(application, "/", 2_621_440)) in (400, 403, 404)
assert asyncio.run(statuses(application, "/", 2_621_441)) == 413
assert asyncio.run(statuses(with_options, "/upload/", 2_621_441)) in (400, 403, 404)
assert asyncio.run(statuses(with_options, "/hooks/", 64_001)) == 413
""",
    "README.md": """
import unittest
from django.test.utils import setup_databases, setup_test_environment, teardown_databases

setup_test_environment()
databases = setup_databases(verbosity=0, interactive=False)
tests = unittest.defaultTestLoader.loadTestsFromTestCase(PageTests)
assert unittest.TextTestRunner().run(tests).wasSuccessful()
teardown_databases(databases, verbosity=0)
""",
    "docs/cors.md": """
from asgi_middleware.testing import HandshakeRefused, websocket

application = WebSocketOriginMiddleware(
    URLRouter(websocket_urlpatterns), allowed_hosts=settings.ALLOWED_HOSTS
)

async def connect(path):
    headers = {"host": "localhost", "origin": "http://localhost"}
    scope = {"state": {"timing": SimpleNamespace()}, "user": SimpleNamespace(get_username=str)}
    async with websocket(application, path, headers=headers, scope=scope):
        pass

asyncio.run(connect("/ws/chat/"))
try:
    asyncio.run(connect("/ws/nowhere/"))
except HandshakeRefused:
    pass
else:
    raise AssertionError("an unknown path was let in")
""",
    "docs/health.md": """
from asgi_middleware.testing import lifespan, request

application._timeout = 60.0  # for a busy machine

async def probe():
    async with lifespan(application) as running:
        return await request(running, target="/readyz")

assert asyncio.run(probe()).json() == {"status": "ready", "checks": {"database": "ok"}}
""",
    "docs/how-it-works.md": """
asyncio.run(test_only_responses_below_the_path_get_no_store("/account/", b"no-store"))
asyncio.run(test_only_responses_below_the_path_get_no_store("/about/", None))
""",
    "docs/lifespan.md": """
from asgi_middleware.testing import lifespan, request

async def spawned():
    done = asyncio.Event()
    global send_receipt
    async def send_receipt(number):
        assert number == 7
        done.set()

    async def view(scope, receive, send):
        await asyncio.to_thread(order, None)
        await done.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    os.chdir(os.environ["FOLDER"])
    application = LifespanMiddleware(view, lifespan=[client, journal])
    async with lifespan(application) as running:
        assert set(running.state) == {"tasks", "client", "journal"}
        assert (await request(running)).status == 200

async def inside():
    application = LifespanMiddleware(
        ProtocolTypeRouter({"http": http, "lifespan": api}), lifespan=[client]
    )
    async with lifespan(application) as running:
        assert set(running.state) == {"tasks", "client", "hits"}

asyncio.run(spawned())
asyncio.run(inside())

assert in_stock("apples") == 0
from asgi_middleware import stack
PricesConfig.ready(None)
assert client in stack(get_asgi_application()).layers[-3].lifespan
""",
    "docs/migrating.md": """
from contextlib import suppress
from asgi_middleware.testing import HandshakeRefused, lifespan, recording, request, websocket

async def get(app, target="/admin/login/", **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    async def with_own_scope(scope, receive, send):
        await app({**scope}, receive, send)
    headers = {"host": "localhost", **headers}
    response = await request(recording(with_own_scope), target=target, headers=headers)
    return {name.decode().lower(): value.decode() for name, value in response.headers}

async def lets_in(app, origin):
    headers = {"host": "localhost", "origin": origin}
    scope = {"state": {"timing": SimpleNamespace()}}
    with suppress(HandshakeRefused):
        async with websocket(app, "/ws/chat/", headers=headers, scope=scope):
            return True
    return False

async def check():
    page = {"origin": "https://app.example"}
    for app in (before_starlette, after_starlette, before_asgi_cors, after_asgi_cors):
        assert (await get(app, **page))["access-control-allow-origin"] == page["origin"]
    assert "x-request-id" in await get(api)
    assert (await get(api))["server-timing"]
    for app in (site, wrapped, after_plain, after_cookiecutter, after_channels):
        assert "x-request-id" in await get(app)
    for app in (before_plain, before_cookiecutter, before_channels):
        assert "x-request-id" not in await get(app)
    for app in (before_channels, after_channels, after_cookiecutter):
        assert await lets_in(app, "http://localhost")
        assert not await lets_in(app, "https://evil.example")
    async with lifespan(after_lifespan) as running:
        assert not running.state["httpx_client"].is_closed
    [origin] = CORS_ALLOWED_ORIGINS
    assert (await get(application, origin=origin))["access-control-allow-origin"] == origin
    for app in (own_pages_before, own_pages_after):
        assert await lets_in(app, "http://localhost")
        assert not await lets_in(app, "https://app.example")
    for app in (listed_before, listed_after):
        assert await lets_in(app, "https://app.example")
        assert await lets_in(app, "https://a.partner.example")
        assert not await lets_in(app, "https://evil.example")
    sent_id = "7c9e6679f1a34a2b8c1d5e6f7a8b9c0d"
    for app in (before_correlation_id, after_correlation_id, after_guid):
        for name in ("x-correlation-id", "correlation-id"):
            response = await get(app, **{name: sent_id})
            if name in response:
                assert response[name] == sent_id
                break
        else:
            raise AssertionError(app)
    await get(before_timing)
    await get(after_timing)

asyncio.run(check())
assert sent[0][-1] == ["http_status:200", "http_method:GET", "time:wall"], sent
assert sent[2][-1] == ["http_status:200", "http_method:GET", "route:admin/login/"], sent
""",
    "docs/request-id.md": """
from asgi_middleware import get_request_id

seen = []
run(SimpleNamespace(headers={"request_id": "abc"}, function=lambda: seen.append(get_request_id())))
with request_id_context("def"):
    asyncio.run(with_the_id(lambda: seen.append(get_request_id())))
for thread in set(threading.enumerate()) - {threading.main_thread()}:
    thread.join()
assert seen == ["abc", "def", "def"]

with request_id_context("ghi"):
    async def get(url, headers):
        return headers
    assert asyncio.run(items(SimpleNamespace(get=get))) == {"x-request-id": "ghi"}
""",
    "docs/testing.md": """
import unittest
from django.test import Client
from django.test.utils import (
    override_settings, setup_databases, setup_test_environment, teardown_databases
)
from django.urls import path

urls = ModuleType("urls")
urls.urlpatterns = [path("apples/", apples), path("order/", order)]
sys.modules["urls"] = urls

from contextlib import ExitStack
from asgi_middleware.testing.django import override_state as override

async def with_the_client(test):
    async with StackClient() as asgi_client:
        await test(asgi_client)

async def over_a_socket():
    heard = []
    async def listening(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        heard.append((await receive())["text"])
        await receive()
    await connected(listening)
    assert heard == ["hello"]


override_state = override  # the page has imported the fixture since
setup_test_environment()
databases = setup_databases(verbosity=0, interactive=False)
with override_settings(ROOT_URLCONF="urls"):
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    for tests in (OrderTests, ViewTests):
        assert unittest.TextTestRunner().run(load(tests)).wasSuccessful()
    with ExitStack() as overridden:
        test_apples(
            Client(), lambda **values: overridden.enter_context(override(**values))
        )
    asyncio.run(with_the_client(test_an_order_of_a_user))
    asyncio.run(test_the_stock_is_open())
asyncio.run(test_a_stream_has_a_well_formed_end())
asyncio.run(over_a_socket())
teardown_databases(databases, verbosity=0)
""",
    "docs/timing.md": """
import io, json, logging.config
from asgi_middleware.testing import request

async def auser():
    return SimpleNamespace(is_staff=True)

async def app(scope, receive, send):
    response = await staff_sees_timings(invoice)(SimpleNamespace(auser=auser))
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": response.content})

log = sys.stderr = io.StringIO()
logging.config.dictConfig(logging_config(json=True))

timed = compose(
    RequestIDMiddleware,
    partial(
        TimingMiddleware,
        observers=[AccessLog(), PrometheusMetrics(), watch],
        server_timing=attrgetter("expose"),
    ),
)(app)
response = asyncio.run(request(timed, headers={"x-request-id": "abc"}))

assert response.text == "stockrender", response.text
assert b"stock" in response.get(b"server-timing")
line = json.loads(log.getvalue())
sys.stderr = sys.__stderr__
assert (line["request_id"], line["status"], line["outcome"]) == ("abc", 200, "ok")
for view in (metrics, metrics_of_all_processes):
    assert b"http_server_request_duration_seconds_count" in view(None).content
""",
}


def as_module(page: str, *, everything: bool) -> str:
    """Return the examples of *page* with their line numbers, all or only those that run here."""
    text, lines = PAGES[page], list[str]()
    for example in EXAMPLE.finditer(text):
        if everything or example["reason"] is None:
            above = text.count("\n", 0, example.start("code"))
            lines += [""] * (above - len(lines))
            lines += example["code"].splitlines()
    return "\n".join(lines)


def test_only_the_known_examples_are_not_run_here() -> None:
    not_run = [
        f"{page}: {example['reason']}"
        for page, text in PAGES.items()
        for example in EXAMPLE.finditer(text)
        if example["reason"]
    ]

    assert not_run == [
        *["docs/recipes.md: test_recipes.py runs it"] * 3,
        *["docs/request-id.md: test_recipes_request_id.py runs it"] * 2,
    ]


@pytest.mark.parametrize("page", PAGES)
def test_no_example_of_a_page_is_overlooked(page: str) -> None:
    assert len(EXAMPLE.findall(PAGES[page])) == PAGES[page].count("```python")


@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_compile(page: str) -> None:
    compile(as_module(page, everything=True), page, "exec")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a new project with an empty database. Each page gets a copy."""
    folder = tmp_path_factory.mktemp("project")
    output_of(
        f"""
import os, sys
from django.core.management import execute_from_command_line as run
os.environ.pop("DJANGO_SETTINGS_MODULE", None)
run(["django-admin", "startproject", "mysite", {str(folder)!r}])
"""
    )
    output_of(
        "import runpy, sys; sys.argv = ['manage.py', 'migrate', '--verbosity', '0'];"
        f"sys.path.insert(0, {str(folder)!r});"
        f"runpy.run_path({str(folder / 'manage.py')!r}, run_name='__main__')",
        DJANGO_SETTINGS_MODULE="mysite.settings",
    )
    return folder


@pytest.mark.parametrize("page", [page for page in PAGES if as_module(page, everything=False)])
def test_the_examples_of_a_page_run(page: str, project: Path, tmp_path: Path) -> None:
    module = as_module(page, everything=False)
    if "asgi_middleware.lifespan.daphne" in module:
        pytest.importorskip("daphne", reason="needs daphne")
    for package in ("asgi_cors", "asgi_correlation_id", "timing_asgi"):
        if f"from {package} import" in module:
            pytest.importorskip(package, reason=f"needs {package}")
    code = f"""
{PROJECT}
{BEFORE.get(page, "")}
exec(compile({module!r}, {page!r}, "exec"))
{AFTER.get(page, "")}
"""
    failure = None
    try:
        output_of(
            code,
            PROJECT=str(shutil.copytree(project, tmp_path / "project")),
            PROMETHEUS_MULTIPROC_DIR=str(tmp_path),
            FOLDER=str(tmp_path),
        )
    except subprocess.CalledProcessError as error:
        failure = error.output
    assert failure is None, failure
