"""The table: what hangs on a thread or a connection, and what runs."""

import asyncio
from collections.abc import Iterable
from contextvars import Context

import django
import pytest

from .cell import ARMS, CLOSED, Arm, Cell, connections_closed
from .runs import Run
from .things import ANN, BEN, NONE, Atomic, DecimalContext, Thing

# Seconds that connections last, where the thing is on one.
AGES = (0, 60)

# What an owner does not find again, as Channels closes connections before each message, if
# they are old or in a transaction.
BETWEEN_MESSAGES: dict[str, list[str]] = {
    "temporary table": [ANN, NONE, NONE],
    "open cursor": [ANN, CLOSED],
    "server-side iterator": [ANN, CLOSED],
    "atomic": [ANN, CLOSED],
    "SET": [ANN, NONE, NONE],
    "set_config": [ANN, NONE, NONE],
    "advisory lock": [ANN, NONE, NONE],
}
# And with database_sync_to_async, which does so before and after each call.
BETWEEN_CALLS: dict[str, list[str]] = {
    "temporary table": [NONE, NONE, NONE],
    "open cursor": [CLOSED],
    "server-side iterator": [ANN, CLOSED],  # the first slice sends the query
    "atomic": [CLOSED],
    "SET": [NONE, NONE, NONE],
    "set_config": [NONE, NONE, NONE],
    "advisory lock": [NONE, NONE, NONE],
}
CLOSING: dict[str, dict[str, list[str]]] = {
    "async consumer": BETWEEN_MESSAGES,
    "async consumer, database_sync_to_async": BETWEEN_CALLS,
    "sync consumer": BETWEEN_MESSAGES,
}


def own(run: str, thing: type[Thing], age: int) -> list[str]:
    """Return what the owner of the thing sees."""
    if (run, thing) == ("FileResponse", DecimalContext) and django.VERSION < (6, 1):
        # It closes a response in another task than the one that has sent it.
        return [ANN, ANN, NONE]
    if age == 0 or thing is Atomic:
        return CLOSING.get(run, {}).get(thing.name, [ANN, ANN, ANN])
    return [ANN, ANN, ANN]


def looked(run: str, thing: type[Thing]) -> list[str]:
    """Return what somebody sees who has not set the thing."""
    if (run, thing) == ("task whose request has set it", DecimalContext):
        # The context of a task is a copy of its creator's.
        return [ANN, ANN, ANN]
    return [NONE, NONE, NONE]


Row = tuple[str, type[Thing], int]


def cells(
    runs: Iterable[str], things: Iterable[type[Thing]], ages: Iterable[int] = AGES
) -> list[Row]:
    """Return the cells where these rows and columns meet."""
    return [
        (run, thing, age)
        for run in runs
        for thing in things
        for age in ages
        if thing.on_connection or age == 0
    ]


def in_both_arms(*cells: Row) -> pytest.MarkDecorator:
    """Return a mark that makes two tests of each cell: plain, and in the pool."""
    return pytest.mark.parametrize(
        ("arm", "run", "thing", "age"),
        [
            pytest.param(arm, *cell, id=_id(*cell, name))
            for cell in cells
            for name, arm in ARMS.items()
        ],
    )


def _id(run: str, thing: type[Thing], age: int, arm: str) -> str:
    parts = [run, thing.name, f"CONN_MAX_AGE {age}" if thing.on_connection else "", arm]
    return " - ".join(part for part in parts if part)


async def seen(arm: Arm, run: Run, thing: type[Thing], *, sets: bool) -> list[str]:
    """Return what Ann sees, if Ben sees himself whenever he comes."""
    with connections_closed(), thing.installed():
        cell = Cell(thing, sets=sets)
        # Without what the test runner has in its context.
        await asyncio.create_task(_run(run, cell, arm), context=Context())
    assert set(cell.seen_by_ben) == {BEN}
    return cell.seen


async def _run(run: Run, cell: Cell, arm: Arm) -> None:
    await run(cell, arm)
