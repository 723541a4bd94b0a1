"""The example in this process: its settings, and a database that is thrown away."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import cast

import django
import pytest
from asgiref.sync import SyncToAsync
from django.core.management import call_command
from django.db import connections
from django.test.utils import (
    setup_databases,
    setup_test_environment,
    teardown_databases,
    teardown_test_environment,
)
from django.utils.module_loading import import_string

from asgi_middleware.testing import lifespan
from asgi_middleware.types import ASGIApp

# At collection, so that test modules may import what needs the settings. Development's
# are fit for tests: they need nothing from the environment.
os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings.development"
django.setup()


@pytest.fixture(scope="session")
def application() -> ASGIApp:
    return cast("ASGIApp", import_string("example_project.asgi.application"))


@pytest.fixture
async def running(application: ASGIApp) -> AsyncIterator[ASGIApp]:
    """The whole application, started, without a server."""
    async with lifespan(application) as running:
        yield running


@pytest.fixture(scope="session")
def _database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # A file, not memory: threads share it by connections that can be closed.
    path = tmp_path_factory.mktemp("database") / "db.sqlite3"
    connections["default"].settings_dict["TEST"]["NAME"] = str(path)
    setup_test_environment()
    configuration = setup_databases(verbosity=0, interactive=False)
    yield
    teardown_databases(configuration, verbosity=0)
    teardown_test_environment()


@pytest.fixture
def database(_database: None) -> Iterator[None]:
    """Django's test clients work, and the database is empty; what a test leaves is removed."""
    yield
    call_command("flush", verbosity=0, interactive=False)
    connections.close_all()
    # Where sync_to_async ran views, in tests that did not go through a whole handler.
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
