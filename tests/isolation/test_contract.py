"""State on a thread or a connection is found again by its owner, and by nobody else.

Each cell of the table combines things with code that uses them, and lets other people's requests
come at every await. It runs plain and in a pool, and both must show the same.
"""

import sqlite3
from typing import Any

import pytest

from .cell import ARMS_OF_PAGES, CROWDED, Arm
from .runs import (
    CONSUMERS,
    CONSUMERS_AT_ONCE,
    LASTING,
    LOOKING,
    OWNERS,
    REQUESTS,
    VARIATIONS,
)
from .table import Things, cells, in_both_arms, looked, own, seen
from .things import (
    ANN,
    BEN,
    NONE,
    Atomic,
    Attribute,
    Audit,
    CriticalLocal,
    DebugCursor,
    DecimalContext,
    ExecuteWrapper,
    OpenCursor,
    RowIterator,
    Schema,
    TemporaryTable,
    ThreadLocal,
)

pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume synchronous")

# The last three of ON_CONNECTION change what other queries do, so each is alone.
ON_THREAD: list[Things] = [(ThreadLocal, CriticalLocal, DecimalContext, Audit)]
ON_CONNECTION: list[Things] = [
    (Attribute, Schema, TemporaryTable, OpenCursor, RowIterator),
    (ExecuteWrapper,),
    (DebugCursor,),
    (Atomic,),
]
IN_SESSION: list[Things] = [(TemporaryTable, OpenCursor, RowIterator), (Atomic,)]
LEFT_ON_CONNECTION: list[Things] = [
    (Attribute, Schema, TemporaryTable),
    (ExecuteWrapper,),
    (DebugCursor,),
]


@in_both_arms(
    *cells([*REQUESTS, *CONSUMERS, *LASTING], [*ON_THREAD, *ON_CONNECTION], ages=[0]),
    *cells(["async view", "async stream", *CONSUMERS, *LASTING], IN_SESSION, ages=[60]),
    *cells(CONSUMERS_AT_ONCE, IN_SESSION),
    *cells(VARIATIONS, [(Attribute, OpenCursor), (Atomic,), (ThreadLocal,)], ages=[0]),
)
async def test_an_owner_finds_its_own_state_again(
    arm: Arm, run: str, things: Things, age: int, sqlite: dict[str, Any]
) -> None:
    sqlite["CONN_MAX_AGE"] = age

    assert await seen(arm, OWNERS[run], things, sets=True) == own(run, things, age)


@pytest.mark.parametrize("run", ["async view", "async stream"])
async def test_an_owner_whose_place_others_have_meanwhile_finds_its_own_state_again(
    run: str, sqlite: dict[str, Any]
) -> None:
    things = (ThreadLocal, OpenCursor)

    assert await seen(CROWDED, REQUESTS[run], things, sets=True) == own(run, things, 60)


# A persistent connection would keep the most.
@in_both_arms(*cells(LOOKING, ON_THREAD, ages=[0]), *cells(LOOKING, LEFT_ON_CONNECTION, ages=[60]))
async def test_code_outside_a_request_finds_nothing_of_a_request(
    arm: Arm, run: str, things: Things, age: int, sqlite: dict[str, Any]
) -> None:
    sqlite["CONN_MAX_AGE"] = age

    assert await seen(arm, LOOKING[run], things, sets=False) == looked(run, things)


@in_both_arms(*cells(REQUESTS, LEFT_ON_CONNECTION, ages=[0]))
async def test_a_request_finds_nothing_on_its_connection_if_the_previous_one_was_closed(
    arm: Arm, run: str, things: Things, age: int, sqlite: dict[str, Any]
) -> None:
    sqlite["CONN_MAX_AGE"] = age

    nothing = {thing.name: [NONE] * 3 for thing in things}
    assert await seen(arm, REQUESTS[run], things, sets=False) == nothing


@pytest.mark.parametrize("arm", ARMS_OF_PAGES.values(), ids=ARMS_OF_PAGES)
@pytest.mark.parametrize("run", REQUESTS)
async def test_an_audit_reports_each_request_alone(
    run: str, arm: Arm, sqlite: dict[str, Any]
) -> None:
    await seen(arm, REQUESTS[run], (Audit,), sets=True)

    assert Audit.reports.count([ANN]) == 1
    assert [report for report in Audit.reports if report not in ([ANN], [BEN])] == []


@in_both_arms(*cells([*REQUESTS, *CONSUMERS_AT_ONCE, *LASTING], [(Atomic,)], ages=[0]))
async def test_a_block_that_is_rolled_back_writes_nothing(
    arm: Arm, run: str, things: Things, age: int, sqlite: dict[str, Any]
) -> None:
    sqlite["CONN_MAX_AGE"] = age
    await seen(arm, OWNERS[run], things, sets=True)

    database = sqlite3.connect(sqlite["NAME"])
    assert database.execute("SELECT owner FROM written").fetchall() == []
    database.close()
