"""The same table on PostgreSQL: state of its sessions, and state that SQLite keeps differently."""

from typing import Any

import pytest

from tests.servers.postgresql import DATABASE, USER, PostgreSQL

from .cell import Arm
from .runs import CONSUMERS, CONSUMERS_AT_ONCE, LASTING, LOOKING, OWNERS, REQUESTS
from .table import Things, cells, in_both_arms, looked, own, seen
from .things import (
    NONE,
    AdvisoryLock,
    Atomic,
    OpenCursor,
    RowIterator,
    Schema,
    SetConfig,
    SetVariable,
    TemporaryTable,
)

pytestmark = [
    pytest.mark.process,
    pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous"),
]

# Things that set the search path, and things that need it, are kept apart.
STAYING: Things = (SetVariable, SetConfig, AdvisoryLock, TemporaryTable)
LEFT: list[Things] = [STAYING, (Schema,)]
IN_SESSION: list[Things] = [STAYING, (OpenCursor, RowIterator), (Atomic,)]


@pytest.fixture
def postgresql(postgresql_cluster: PostgreSQL, database_settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of the cluster, which apply to connections that are opened from now on."""
    database_settings.update(
        ENGINE="django.db.backends.postgresql",
        HOST=str(postgresql_cluster.folder),
        NAME=DATABASE,
        USER=USER,
        PASSWORD="",
        PORT="",
    )
    return database_settings


@in_both_arms(
    *cells([*REQUESTS, *CONSUMERS_AT_ONCE], IN_SESSION, ages=[0]),
    *cells(["async view", "async stream"], IN_SESSION, ages=[60]),
    *cells([*CONSUMERS, *LASTING], IN_SESSION),
    *cells([*REQUESTS, *CONSUMERS, *LASTING], [(Schema,)], ages=[0]),
)
async def test_an_owner_finds_its_own_state_again(
    arm: Arm, run: str, things: Things, age: int, postgresql: dict[str, Any]
) -> None:
    postgresql["CONN_MAX_AGE"] = age

    assert await seen(arm, OWNERS[run], things, sets=True) == own(run, things, age)


@in_both_arms(*cells(LOOKING, LEFT, ages=[60]))
async def test_code_outside_a_request_finds_nothing_of_a_request(
    arm: Arm, run: str, things: Things, age: int, postgresql: dict[str, Any]
) -> None:
    postgresql["CONN_MAX_AGE"] = age

    assert await seen(arm, LOOKING[run], things, sets=False) == looked(run, things)


@in_both_arms(*cells(REQUESTS, LEFT, ages=[0]))
async def test_a_request_finds_nothing_on_its_connection_if_the_previous_one_was_closed(
    arm: Arm, run: str, things: Things, age: int, postgresql: dict[str, Any]
) -> None:
    postgresql["CONN_MAX_AGE"] = age

    nothing = {thing.name: [NONE] * 3 for thing in things}
    assert await seen(arm, REQUESTS[run], things, sets=False) == nothing


@in_both_arms(*cells([*REQUESTS, *CONSUMERS_AT_ONCE, *LASTING], [(Atomic,)], ages=[0]))
async def test_a_block_that_is_rolled_back_writes_nothing(
    arm: Arm,
    run: str,
    things: Things,
    age: int,
    postgresql: dict[str, Any],
    postgresql_cluster: PostgreSQL,
) -> None:
    postgresql["CONN_MAX_AGE"] = age
    await seen(arm, OWNERS[run], things, sets=True)

    with postgresql_cluster.connect() as connection:
        assert connection.execute("SELECT owner FROM written").fetchall() == []
