"""The example in this process: its settings, and a temporary database."""

import os
from collections.abc import AsyncIterator, Iterator
from typing import cast

import django
import pytest
from asgiref.sync import SyncToAsync
from django.core.management import call_command
from django.db import connections
from django.test.utils import (
    override_settings,
    setup_databases,
    setup_test_environment,
    teardown_databases,
    teardown_test_environment,
)
from django.utils.module_loading import import_string

from asgi_middleware.testing import lifespan
from asgi_middleware.types import ASGIApp

# During collection, so that test modules can import what needs the settings. Those of development
# suit tests, because they need nothing from the environment.
os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings.development"
django.setup()


@pytest.fixture(scope="session")
def application() -> ASGIApp:
    return cast("ASGIApp", import_string("example_project.asgi.application"))


@pytest.fixture
async def running(application: ASGIApp) -> AsyncIterator[ASGIApp]:
    """The whole application after its startup, without a server."""
    async with lifespan(application) as running:
        yield running


@pytest.fixture(scope="session")
def _database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    # A file, not memory, so that each thread has a connection that it can close.
    path = tmp_path_factory.mktemp("database") / "db.sqlite3"
    connections["default"].settings_dict["TEST"]["NAME"] = str(path)
    setup_test_environment()
    configuration = setup_databases(verbosity=0, interactive=False)
    yield
    teardown_databases(configuration, verbosity=0)
    teardown_test_environment()


@pytest.fixture
def database(_database: None) -> Iterator[None]:
    """An empty database, and working test clients. Whatever a test writes is removed."""
    # The default hasher takes a second for each password, and more on a busy machine.
    with override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"]):
        yield
    call_command("flush", verbosity=0, interactive=False)
    connections.close_all()
    # sync_to_async runs views in this thread if a test does not go through a whole handler.
    SyncToAsync.single_thread_executor.submit(connections.close_all).result()
