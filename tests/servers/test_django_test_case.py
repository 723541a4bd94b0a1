"""Async tests of Django's TestCase share their transaction with the requests that they make."""

import pytest

from .postgresql import PostgreSQL
from .server import python

pytestmark = pytest.mark.process


@pytest.mark.parametrize("arm", ["plain", "pooled"])
@pytest.mark.parametrize("age", ["0", "60"], ids=["CONN_MAX_AGE 0", "CONN_MAX_AGE 60"])
def test_an_async_django_test_shares_its_transaction_with_its_requests(
    age: str, arm: str, postgresql: PostgreSQL
) -> None:
    test = ("-m", "django", "test", "tests.servers.apps.case", "--noinput")
    settings = ("--settings", "tests.servers.apps.case_settings")
    environment = {**postgresql.environment, "ARM": arm, "CONN_MAX_AGE": age}

    ended = python(*test, *settings, **environment)

    assert ended.returncode == 0, ended.stderr
    assert "Ran 4 tests" in ended.stderr
