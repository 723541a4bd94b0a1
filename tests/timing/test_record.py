import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from typing import Any

import pytest
from asgiref.sync import markcoroutinefunction

from asgi_middleware import RequestTiming, TimingMiddleware, current_timing, measure
from asgi_middleware.testing import request
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import hello


async def timed(view: Callable[[], Any]) -> RequestTiming:
    """Run *view* within a request, on a clock that advances by a second at each reading."""
    records: list[Any] = []
    ticks: Iterator[int] = count()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        result = view()
        if asyncio.iscoroutine(result):
            await result
        await hello(scope, receive, send)

    await request(TimingMiddleware(app, observers=[records.append], clock=lambda: next(ticks)))
    [record] = records
    assert isinstance(record, RequestTiming)
    return record


def shape(record: RequestTiming) -> list[tuple[str, float, str | None]]:
    return [(phase.name, phase.duration, phase.description) for phase in record.phases]


async def test_a_block_becomes_a_phase() -> None:
    def view() -> None:
        with measure("render", "the page"):
            pass

    assert shape(await timed(view)) == [("render", 1, "the page")]


async def test_an_async_with_block_becomes_a_phase() -> None:
    async def view() -> None:
        async with measure("render"):
            await asyncio.sleep(0)

    assert shape(await timed(view)) == [("render", 1, None)]


async def test_a_function_becomes_a_phase() -> None:
    @measure("sum")
    def add(a: int, *, b: int) -> int:
        return a + b

    results: list[int] = []
    record = await timed(lambda: results.append(add(1, b=2)))

    assert shape(record) == [("sum", 1, None)]
    assert results == [3]
    assert add.__name__ == "add"


async def test_a_coroutine_function_becomes_a_phase() -> None:
    @measure("stock")
    async def stock() -> str:
        await asyncio.sleep(0)
        return "plenty"

    results: list[str] = []

    async def view() -> None:
        results.append(await stock())

    assert shape(await timed(view)) == [("stock", 1, None)]
    assert results == ["plenty"]


async def test_a_function_that_django_marks_as_async_becomes_a_phase() -> None:
    async def look() -> None:
        with measure("within"):
            pass

    def stock() -> Awaitable[None]:
        return look()

    # View.as_view() marks an async class-based view in this way.
    markcoroutinefunction(stock)

    record = await timed(measure("stock")(stock))

    assert shape(record) == [("within", 1, None), ("stock", 3, None)]


async def test_overlapping_calls_are_measured_separately() -> None:
    inside = asyncio.Event()

    @measure("each")
    async def each(number: int) -> None:
        if number == 0:
            await inside.wait()
        inside.set()

    async def view() -> None:
        await asyncio.gather(each(0), each(1))

    # The clock is read as call 0 starts, call 1 starts, call 1 ends and call 0 ends.
    assert shape(await timed(view)) == [("each", 1, None), ("each", 3, None)]


async def test_a_block_that_raises_is_measured() -> None:
    def view() -> None:
        with pytest.raises(KeyError), measure("broken"):
            raise KeyError

    assert shape(await timed(view)) == [("broken", 1, None)]


async def test_threads_and_child_tasks_add_to_the_same_record() -> None:
    def work(name: str) -> None:
        with measure(name):
            pass

    async def task() -> None:
        work("task")

    async def view() -> None:
        await asyncio.to_thread(work, "thread")
        await asyncio.create_task(task())

    assert [name for name, _, _ in shape(await timed(view))] == ["thread", "task"]


def test_measure_does_nothing_outside_a_request() -> None:
    with measure("nothing"):
        assert current_timing() is None


def test_a_phase_needs_a_name() -> None:
    with pytest.raises(ValueError, match="needs a name"):
        measure("")


async def test_a_record_keeps_a_thousand_phases_and_counts_the_rest() -> None:
    def view() -> None:
        for number in range(1500):
            with measure(f"phase {number}"):
                pass

    record = await timed(view)

    assert [phase.name for phase in record.phases] == [f"phase {n}" for n in range(1000)]
    assert record.phases_left_out == 500
