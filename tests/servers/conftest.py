"""The environments and the database that the servers under test run with."""

from collections.abc import Iterator

import pytest

from .postgresql import PostgreSQL, cluster
from .server import manage


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The development settings, and a migrated database just for the tests."""
    database = tmp_path_factory.mktemp("database") / "db.sqlite3"
    changes = {"DJANGO_ENV": "development", "SQLITE_PATH": str(database)}
    manage(changes, "migrate")
    return changes


@pytest.fixture(scope="session")
def production_environment(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """The production settings for a site without TLS, with its static files collected."""
    changes = {
        **environment,
        "DJANGO_ENV": "production",
        "DJANGO_SECRET_KEY": "0123456789" * 5,
        "DJANGO_ALLOWED_HOSTS": "127.0.0.1,example.org",
        "DJANGO_CORS_ORIGINS": "https://app.example",
        "HTTPS": "0",
        "STATIC_ROOT": str(tmp_path_factory.mktemp("static")),
    }
    manage(changes, "collectstatic", "--noinput")
    return changes


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    with cluster() as postgresql:
        yield postgresql
