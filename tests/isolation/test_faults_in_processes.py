"""Processes that once did not end, and tests that once lost their transaction."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.postgresql import PostgreSQL
from tests.servers.server import PATIENCE, ROOT, clean_environment

from .cell import ARMS
from .exits import LAST_WORDS

pytestmark = pytest.mark.process


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=clean_environment(environment),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("how", ["loop", "server"])
def test_the_interpreter_exits_though_a_view_waits(how: str, arm: str, tmp_path: Path) -> None:
    database = str(tmp_path / "db.sqlite3")

    ended = run("-m", "tests.isolation.exits", how, arm, SQLITE_PATH=database)

    assert (ended.returncode, ended.stdout) == (0, f"{LAST_WORDS}\n"), ended.stderr


@pytest.mark.parametrize("arm", ARMS)
@pytest.mark.parametrize("age", ["0", "60"], ids=["CONN_MAX_AGE 0", "CONN_MAX_AGE 60"])
def test_an_async_test_of_django_s_shares_its_transaction(
    age: str, arm: str, postgresql_cluster: PostgreSQL
) -> None:
    test = ("-m", "django", "test", "tests.isolation.case", "--noinput")
    settings = ("--settings", "tests.isolation.case_settings")

    environment = {**postgresql_cluster.environment, "ARM": arm, "CONN_MAX_AGE": age}

    ended = run(*test, *settings, **environment)

    assert ended.returncode == 0, ended.stderr
    assert "Ran 4 tests" in ended.stderr
