"""A pytest plugin that puts the stack around each app that a test gives to a client.

It is loaded by its bare name, because the suites have a package ``tests`` of their own.

Environment variables:

* ``STACKED``: ``yes`` puts the stack around the apps.
* ``OUTCOMES``: the file to which the plugin writes how each test ended, and how many apps got the
  stack.
"""

import inspect
import json
import os
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from asgiref.compatibility import guarantee_single_callable

from asgi_middleware import Stack, WebSocketOriginMiddleware, stack

# The class of each client, and its parameter for the app. Channels' communicators are built on
# asgiref's.
CLIENTS = (
    ("starlette.testclient", "TestClient", "app"),
    ("httpx", "ASGITransport", "app"),
    ("httpx2", "ASGITransport", "app"),
    ("asgiref.testing", "ApplicationCommunicator", "application"),
)


class Outcomes:
    """How each test ended, and how many apps got the stack."""

    def __init__(self) -> None:
        self.used = 0
        self.outcomes: dict[str, str] = {}

    def stacked(self, app: Any) -> Stack:
        self.used += 1
        # A Starlette endpoint class is an app too, although asgiref takes it for an ASGI 2 app.
        if not hasattr(app, "__await__"):
            app = guarantee_single_callable(app)  # type: ignore[no-untyped-call]
        return stack(
            app,
            # Like scripts, most clients in the suites send no Origin.
            websocket_origins=partial(WebSocketOriginMiddleware, allow_missing=True),
            max_body_size=10_000_000,
            request_timeout=60,
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # Setup and teardown count only if they do not pass.
        if report.when == "call" or not report.passed:
            failed = self.outcomes.get(report.nodeid) == "failed"
            self.outcomes[report.nodeid] = "failed" if failed else report.outcome

    def pytest_sessionfinish(self) -> None:
        Path(os.environ["OUTCOMES"]).write_text(json.dumps(vars(self)))


def pytest_configure(config: pytest.Config) -> None:
    outcomes = Outcomes()
    config.pluginmanager.register(outcomes)
    if os.environ["STACKED"] == "yes":
        for module, client, parameter in CLIENTS:
            try:
                kind = getattr(import_module(module), client)
            except ImportError:  # a client of another suite
                continue
            put_around_apps_of(kind, parameter, outcomes)


def put_around_apps_of(client: Any, parameter: str, outcomes: Outcomes) -> None:
    construct = client.__init__
    signature = inspect.signature(construct)

    def constructed(*args: Any, **options: Any) -> None:
        given = signature.bind(*args, **options)
        given.arguments[parameter] = outcomes.stacked(given.arguments[parameter])
        construct(*given.args, **given.kwargs)

    client.__init__ = constructed
