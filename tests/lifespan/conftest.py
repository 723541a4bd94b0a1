"""Stuck parts are abandoned sooner than in production, and a stand-in handles signals."""

import os
import signal
from collections.abc import Iterator

import django
import pytest

from asgi_middleware.lifespan import (
    connections,
    context_task,
    cycle,
    drain,
    failure,
    inner,
    tasks,
)

from .server import SIGNALS, Handler

# During collection, so that test modules may import what needs the settings.
os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings.development"
django.setup()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    # Long enough that no part counts as stuck only because the machine is slow.
    for module in (connections, context_task, cycle, failure, inner, tasks):
        monkeypatch.setattr(module, "PATIENCE", 0.2)
    monkeypatch.setattr(tasks, "GRACE", 0.2)
    monkeypatch.setattr(drain, "_REACTION", 0.2)


@pytest.fixture
def handler() -> Iterator[Handler]:
    """Stand in for a server that has set its handlers before startup."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    handler = Handler()
    for number in SIGNALS:
        signal.signal(number, handler)
    yield handler
    for number, previous in before.items():
        signal.signal(number, previous)
