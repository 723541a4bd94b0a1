"""The recipes of docs/request-id.md as they stand there, and its tables.

Each recipe runs in a process of its own, because it sets up libraries for the whole process.
"""

import inspect
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "request-id.md").read_text()

# Makes a request whose view calls use(), with the ID abc.
REQUEST = """
import asyncio
from asgi_middleware import RequestIDMiddleware
from asgi_middleware.testing import request
from tests.apps import doing

app = RequestIDMiddleware(doing(lambda _: use()))
asyncio.run(request(app, headers={"x-request-id": "abc"}))
"""


def recipe(heading: str) -> str:
    """Return the first example under *heading*."""
    found = re.search(rf"^#+ {heading}\n.*?```python\n(.*?)```", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def ran(code: str, **environment: str) -> str:
    """Run *code*, and return what it wrote."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        timeout=60,
    ).stdout


def test_logging() -> None:
    use = """
import logging.config
logging.config.dictConfig(LOGGING)
def use(): logging.getLogger("django.request").warning("hello")
"""

    assert ran(recipe("Logs") + use + REQUEST) == "WARNING django.request [abc] hello\n"


def test_structlog() -> None:
    pytest.importorskip("structlog", reason="needs structlog")
    use = """
def use(): structlog.get_logger().info("hello")
"""

    written = json.loads(ran(recipe("structlog") + use + REQUEST))

    assert written == {"event": "hello", "request_id": "abc"}


def test_sentry() -> None:
    pytest.importorskip("sentry_sdk", reason="needs sentry-sdk")
    use = """
import json
def use():
    transport = sentry_sdk.get_client().transport
    transport.capture_envelope = lambda envelope: print(json.dumps(envelope.get_event()["tags"]))
    sentry_sdk.capture_message("hello")
"""

    tags = ran(recipe("Sentry") + use + REQUEST, SENTRY_DSN="http://public@127.0.0.1:9/1")

    assert json.loads(tags) == {"request_id": "abc"}


def names_in(section: str) -> set[str]:
    """Return the names that the left column of the table under *section* explains."""
    found = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found is not None
    left = " ".join(re.findall(r"^\| (.*?) \| ", found[1], re.MULTILINE))
    return set(re.findall(r"\w+", " ".join(re.findall(r"`(.*?)`", left))))


def test_every_name_of_asgi_correlation_id_is_in_the_table() -> None:
    peer = pytest.importorskip("asgi_correlation_id", reason="needs asgi-correlation-id")
    options = {
        *inspect.signature(peer.CorrelationIdMiddleware).parameters,
        *inspect.signature(peer.CorrelationIdFilter).parameters,
    }

    assert {*peer.__all__, *options} - {"app"} - names_in(
        "Coming from asgi-correlation-id"
    ) == set()


def test_every_setting_and_name_of_django_guid_is_in_the_table() -> None:
    pytest.importorskip("django_guid", reason="needs django-guid")
    spec = find_spec("django_guid")
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    settings = re.findall(r"settings\.get\('(\w+)'", (package / "config.py").read_text())
    functions = re.findall(r"^def (\w+)", (package / "api.py").read_text(), re.MULTILINE)
    classes = re.findall(
        r"^class (\w+)",
        "".join(path.read_text() for path in package.rglob("log_filters.py"))
        + "".join(path.read_text() for path in (package / "integrations").rglob("*.py")),
        re.MULTILINE,
    )

    listed = names_in("Coming from django-guid")

    assert len(settings) > 5
    assert {*settings, *functions, *classes} - {"CeleryIntegrationSettings"} - listed == set()
