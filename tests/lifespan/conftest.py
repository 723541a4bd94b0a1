"""Stuck parts are given up sooner than in earnest, and signals are a stand-in's."""

import os
import signal
from collections.abc import Iterator

import django
import pytest

from asgi_middleware.lifespan import connections, cycle, inner, tasks, worker

from .server import SIGNALS, Handler

# At collection, so that test modules may import what needs the settings.
os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings.development"
django.setup()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (connections, cycle, inner, tasks, worker):
        monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(tasks, "GRACE", 0.05)


@pytest.fixture
def handler() -> Iterator[Handler]:
    """Stand in for a server that has set its handlers before start-up."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handler = Handler()
    for number in SIGNALS:
        signal.signal(number, handler)
    yield handler
    for number, previous in before.items():
        signal.signal(number, previous)
