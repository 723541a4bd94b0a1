"""The table: state on a thread or a connection, and the code that uses it."""

import asyncio
from collections.abc import Iterable
from contextlib import ExitStack
from contextvars import Context

import django
import pytest

from .cell import ARMS, ARMS_OF_PAGES, CLOSED, Arm, Cell, connections_closed
from .runs import REQUESTS, VARIATIONS, Run
from .things import ANN, BEN, NONE, Atomic, DecimalContext, Thing

# Values of CONN_MAX_AGE, for things on a connection.
AGES = (0, 60)

# What an owner sees where Channels closes connections: before each message, if they are old or
# in a transaction.
BETWEEN_MESSAGES: dict[str, list[str]] = {
    "temporary table": [ANN, NONE, NONE],
    "open cursor": [ANN, CLOSED],
    "server-side iterator": [ANN, CLOSED],
    "atomic": [ANN, CLOSED],
    "SET": [ANN, NONE, NONE],
    "set_config": [ANN, NONE, NONE],
    "advisory lock": [ANN, NONE, NONE],
}
# The same for database_sync_to_async, which closes them before and after each call.
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


# Things that do not disturb each other, so that one cell is enough for them all.
Things = tuple[type[Thing], ...]


def own(run: str, things: Things, age: int) -> dict[str, list[str]]:
    """Return what the owner of the things sees, by the name of the thing."""
    return {thing.name: _own(run, thing, age) for thing in things}


def _own(run: str, thing: type[Thing], age: int) -> list[str]:
    if (run, thing) == ("FileResponse", DecimalContext) and django.VERSION < (6, 1):
        # This Django sends a response in one task, and closes it in another.
        return [ANN, ANN, NONE]
    if age == 0 or thing is Atomic:
        return CLOSING.get(run, {}).get(thing.name, [ANN, ANN, ANN])
    return [ANN, ANN, ANN]


def looked(run: str, things: Things) -> dict[str, list[str]]:
    """Return what code sees that has not set the things, by the name of the thing."""
    # The context of a task is a copy of its creator's.
    copied = {DecimalContext} if run == "task whose request has set it" else set()
    return {thing.name: [ANN if thing in copied else NONE] * 3 for thing in things}


Row = tuple[str, Things, int]


def cells(runs: Iterable[str], things: Iterable[Things], ages: Iterable[int] = AGES) -> list[Row]:
    """Return the cells where these rows and columns meet."""
    return [
        (run, together, age)
        for run in runs
        for together in things
        for age in ages
        if together[0].on_connection or age == 0
    ]


# The code that runs in pages of Django.
PAGES = {
    *(REQUESTS.keys() | VARIATIONS.keys() - {"AsyncHttpConsumer"}),
    *("task that outlives its request", "task whose request has set it"),
}


def in_both_arms(*cells: Row) -> pytest.MarkDecorator:
    """Return a mark that makes two tests of each cell: plain, and in the pool.

    If the code runs in a page, there is a third test: our handler in the pool.
    """
    return pytest.mark.parametrize(
        ("arm", "run", "things", "age"),
        [
            pytest.param(arm, *cell, id=_id(*cell, name))
            for cell in cells
            for name, arm in (ARMS_OF_PAGES if cell[0] in PAGES else ARMS).items()
        ],
    )


def _id(run: str, things: Things, age: int, arm: str) -> str:
    names = ", ".join(thing.name for thing in things)
    parts = [run, names, f"CONN_MAX_AGE {age}" if things[0].on_connection else "", arm]
    return " - ".join(part for part in parts if part)


async def seen(arm: Arm, run: Run, things: Things, *, sets: bool) -> dict[str, list[str]]:
    """Return what Ann sees, by the name of the thing, and check that Ben sees only his own."""
    with connections_closed(), ExitStack() as installed:
        for thing in things:
            installed.enter_context(thing.installed())
        cell = Cell(*things, sets=sets)
        # In an empty context, without the variables of the test runner.
        await asyncio.create_task(_run(run, cell, arm), context=Context())
    assert set(cell.seen_by_ben) == {BEN}
    return cell.seen


async def _run(run: Run, cell: Cell, arm: Arm) -> None:
    await run(cell, arm)
