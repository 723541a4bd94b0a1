"""The modules that servers import."""

import re
from io import StringIO
from pathlib import Path
from tokenize import COMMENT, generate_tokens

from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from django.utils.module_loading import import_string

from asgi_middleware import Stack

ROOT = Path(__file__).resolve().parents[2]


def test_asgi_py_has_the_layers_in_order(application: Stack) -> None:
    assert [type(layer).__name__ for layer in application.layers] == [
        "HealthMiddleware",
        "SentHeadersMiddleware",
        "RequestIDMiddleware",
        "TimingMiddleware",
        "CORSMiddleware",
        "WebSocketOriginMiddleware",
        "RequestBodyLimitMiddleware",
        "RequestTimeoutMiddleware",
        "LifespanMiddleware",
        "ThreadPoolMiddleware",
        "InspectorPaths",
        "ProtocolTypeRouter",
    ]


def test_wsgi_py_is_django_alone() -> None:
    assert isinstance(import_string("example_project.wsgi.application"), WSGIHandler)


def test_the_project_passes_djangos_checks() -> None:
    call_command("check", fail_level="WARNING")


def test_the_migrations_are_complete(database: None) -> None:
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)


def test_asgi_py_has_few_relative_imports_and_few_comments() -> None:
    text = (ROOT / "example_project/asgi.py").read_text(encoding="utf-8")
    comments = [
        token for token in generate_tokens(StringIO(text).readline) if token.type == COMMENT
    ]

    assert len(re.findall(r"^from \.", text, re.MULTILINE)) <= 5
    assert len(comments) <= 5
