"""A Django of these tests' own pages, on a database of their own."""

import os
import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import django
import pytest
from asgiref.sync import SyncToAsync
from django.db import connections
from django.test import override_settings

from tests.servers.postgresql import PostgreSQL, cluster

# During collection, so that test modules may import what needs the settings.
os.environ["DJANGO_SETTINGS_MODULE"] = "example_project.settings.development"
django.setup()

# After the setup, because the module defines a model.
from .things import POSTGRESQL_TABLES, SQLITE_TABLES  # noqa: E402


@pytest.fixture(autouse=True)
def _pages() -> Iterator[None]:
    with override_settings(
        ALLOWED_HOSTS=["testserver"],
        DEBUG=False,
        MIDDLEWARE=[],
        ROOT_URLCONF="tests.isolation.runs",
    ):
        yield


@pytest.fixture(autouse=True)
def _single_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test its own copy of the thread that plain consumers and tasks share."""
    with ThreadPoolExecutor(max_workers=1) as executor:
        monkeypatch.setattr(SyncToAsync, "single_thread_executor", executor)
        yield
        executor.submit(connections.close_all).result()


@pytest.fixture
def database_settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The database settings, which apply to connections that are opened from now on."""
    settings: dict[str, Any] = connections.settings["default"]
    for name, value in settings.items():
        monkeypatch.setitem(settings, name, value)
    settings.update(CONN_MAX_AGE=0, CONN_HEALTH_CHECKS=False, ATOMIC_REQUESTS=False, OPTIONS={})
    return settings


@pytest.fixture(scope="session")
def sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the tables of the things; tests have copies."""
    file = tmp_path_factory.mktemp("isolation") / "db.sqlite3"
    database = sqlite3.connect(file)
    database.executescript(SQLITE_TABLES)
    database.close()
    return file


@pytest.fixture
def sqlite(database_settings: dict[str, Any], sqlite_file: Path, tmp_path: Path) -> dict[str, Any]:
    """The settings of an SQLite file with the tables of the things."""
    file = shutil.copy(sqlite_file, tmp_path / "db.sqlite3")
    database_settings.update(ENGINE="django.db.backends.sqlite3", NAME=str(file))
    return database_settings


@pytest.fixture(scope="session")
def postgresql_cluster() -> Iterator[PostgreSQL]:
    """A PostgreSQL of these tests' own, with the tables of the things."""
    with cluster() as postgresql:
        with postgresql.connect() as connection:
            connection.execute(POSTGRESQL_TABLES.encode())
        yield postgresql
