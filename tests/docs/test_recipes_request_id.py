"""The recipes in docs/request-id.md, and the tables in docs/migrating.md."""

import inspect
import json
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from .process import ROOT, output_of

PAGE = (ROOT / "docs" / "request-id.md").read_text()
TABLES = (ROOT / "docs" / "migrating.md").read_text()

# Makes a request with the ID abc. The view calls use().
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


def test_the_logging_recipe_puts_the_id_into_log_lines() -> None:
    use = """
import logging.config
logging.config.dictConfig(LOGGING)
def use(): logging.getLogger("django.request").warning("hello")
"""

    written = output_of(
        recipe("Logs") + use + REQUEST,
        DJANGO_SETTINGS_MODULE="example_project.settings.development",
    )

    assert written.endswith(" WARNING django.request [abc] hello\n")


def test_the_structlog_recipe_puts_the_id_into_events() -> None:
    pytest.importorskip("structlog", reason="needs structlog")
    use = """
def use(): structlog.get_logger().info("hello")
"""

    written = json.loads(output_of(recipe("structlog") + use + REQUEST))

    assert written == {"event": "hello", "request_id": "abc"}


def test_the_sentry_recipe_puts_the_id_into_tags() -> None:
    pytest.importorskip("sentry_sdk", reason="needs sentry-sdk")
    use = """
import json
def use():
    transport = sentry_sdk.get_client().transport
    transport.capture_envelope = lambda envelope: print(json.dumps(envelope.get_event()["tags"]))
    sentry_sdk.capture_message("hello")
"""

    tags = output_of(recipe("Sentry") + use + REQUEST, SENTRY_DSN="http://public@127.0.0.1:9/1")

    assert json.loads(tags) == {"request_id": "abc"}


def names_in(section: str) -> set[str]:
    """Return the names in the left column of the tables under *section*."""
    found = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", TABLES, re.DOTALL | re.MULTILINE)
    assert found is not None
    left = " ".join(re.findall(r"^\| (.*?) \| ", found[1], re.MULTILINE))
    return set(re.findall(r"\w+", " ".join(re.findall(r"`(.*?)`", left))))


def test_the_migration_table_has_every_name_of_asgi_correlation_id() -> None:
    peer = pytest.importorskip("asgi_correlation_id", reason="needs asgi-correlation-id")
    options = {
        *inspect.signature(peer.CorrelationIdMiddleware).parameters,
        *inspect.signature(peer.CorrelationIdFilter).parameters,
    }

    assert {*peer.__all__, *options} - {"app"} - names_in("asgi-correlation-id") == set()


def test_the_migration_table_has_every_setting_and_name_of_django_guid() -> None:
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

    listed = names_in("django-guid")

    assert len(settings) > 5
    assert {*settings, *functions, *classes} - {"CeleryIntegrationSettings"} - listed == set()
