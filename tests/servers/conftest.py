"""The environments and the database that the servers under test run with."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .postgresql import PostgreSQL, cluster
from .server import manage

Once = Callable[[str, Callable[[Path], None]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Return a function that makes a file or folder on the first worker that needs it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made_once(name: str, make: Callable[[Path], None]) -> Path:
        path, done = shared / name, shared / f"{name}.done"
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                make(path)
                done.touch()
        return path

    return made_once


@pytest.fixture(scope="session")
def environment(once: Once, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The development settings, and a migrated database just for the tests of this worker."""
    development = {"DJANGO_ENV": "development"}
    migrated = once(
        "migrated.sqlite3",
        lambda path: manage({**development, "SQLITE_PATH": str(path)}, "migrate"),
    )
    database = shutil.copy(migrated, tmp_path_factory.mktemp("database") / "db.sqlite3")
    return {**development, "SQLITE_PATH": str(database)}


@pytest.fixture(scope="session")
def production_environment(environment: dict[str, str], once: Once) -> dict[str, str]:
    """The production settings for a site without TLS, with its static files collected."""
    changes = {
        **environment,
        "DJANGO_ENV": "production",
        "DJANGO_SECRET_KEY": "0123456789" * 5,
        "DJANGO_ALLOWED_HOSTS": "127.0.0.1,example.org",
        "DJANGO_CORS_ORIGINS": "https://app.example",
        "HTTPS": "0",
    }
    static = once(
        "static",
        lambda path: manage({**changes, "STATIC_ROOT": str(path)}, "collectstatic", "--noinput"),
    )
    return {**changes, "STATIC_ROOT": str(static)}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with cluster() as postgresql:
        yield postgresql
