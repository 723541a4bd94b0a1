"""Which code sees which ID, and how code outside a request gets one."""

import asyncio
import gc
import random
import re
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

from asgi_middleware import RequestIDMiddleware, get_request_id, request_id_context
from asgi_middleware.testing import request
from asgi_middleware.types import Receive, Scope, Send
from tests.apps import answering


async def test_a_hundred_concurrent_requests_each_see_their_own_id() -> None:
    async def part(seen: set[str | None]) -> None:
        await asyncio.sleep(random.random() / 100)
        seen.add(get_request_id())

    async def busy(scope: Scope, receive: Receive, send: Send) -> None:
        seen: set[str | None] = {scope["state"]["request_id"]}
        await part(seen)
        await asyncio.create_task(part(seen))
        await asyncio.gather(part(seen), part(seen))
        seen.add(await asyncio.to_thread(get_request_id))
        await part(seen)
        assert len(seen) == 1
        await answering((b"x-seen", str(*seen).encode()))(scope, receive, send)

    app = RequestIDMiddleware(busy)

    async def answered(number: int) -> tuple[bytes | None, bytes | None]:
        headers = {} if number % 2 else {"x-request-id": f"id-{number}"}
        response = await request(app, headers=headers)
        return response.get(b"x-request-id"), response.get(b"x-seen")

    answers = await asyncio.gather(*(answered(number) for number in range(100)))

    assert all(sent == seen for sent, seen in answers)
    assert len({seen for _, seen in answers}) == 100


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(
            lambda: asyncio.get_running_loop().run_in_executor(None, get_request_id),
            id="run_in_executor",
        ),
        pytest.param(
            lambda: asyncio.wrap_future(ThreadPoolExecutor(1).submit(get_request_id)),
            id="ThreadPoolExecutor",
        ),
        pytest.param(lambda: in_thread(get_request_id), id="Thread"),
    ],
)
@pytest.mark.skipif(
    getattr(sys.flags, "thread_inherit_context", 0) == 1, reason="threads inherit the context here"
)
async def test_a_thread_without_the_context_has_no_id(
    start: Callable[[], asyncio.Future[str | None]],
) -> None:
    with request_id_context("abc"):
        assert await start() is None


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(lambda: asyncio.to_thread(get_request_id), id="to_thread"),
        pytest.param(
            lambda: asyncio.get_running_loop().run_in_executor(
                None, copy_context().run, get_request_id
            ),
            id="run_in_executor",
        ),
        pytest.param(lambda: in_thread(copy_context().run, get_request_id), id="Thread"),
    ],
)
async def test_a_thread_with_the_context_has_the_id(
    start: Callable[[], asyncio.Future[str | None]],
) -> None:
    with request_id_context("abc"):
        assert await start() == "abc"


def in_thread(function: Callable[..., Any], *arguments: Any) -> asyncio.Future[str | None]:
    result: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def run() -> None:
        loop.call_soon_threadsafe(result.set_result, function(*arguments))

    threading.Thread(target=run).start()
    return result


def test_code_outside_a_request_can_have_an_id() -> None:
    with request_id_context("abc") as outer:
        with request_id_context() as inner:
            seen = [outer, get_request_id()]
        seen.append(get_request_id())

    assert seen == ["abc", inner, "abc"]
    assert re.fullmatch("[0-9a-f]{32}", inner)
    assert get_request_id() is None


def test_the_id_is_reset_when_the_block_raises() -> None:
    with pytest.raises(ZeroDivisionError), request_id_context("abc"):
        _ = 1 / 0

    assert get_request_id() is None


def test_a_block_that_is_closed_in_another_context_changes_no_id_there() -> None:
    def waiting() -> Iterator[None]:
        with request_id_context("thrown-away"):
            yield

    generator = waiting()
    copy_context().run(next, generator)

    with request_id_context("another"):
        del generator
        gc.collect()
        seen = get_request_id()

    assert seen == "another"


@pytest.mark.parametrize("request_id", ["", "a b", "a\r\nb", "caf\xe9", "a" * 201])
def test_request_id_context_refuses_an_unsafe_id(request_id: str) -> None:
    with (
        pytest.raises(ValueError, match="is not 1 to 200 visible ASCII characters"),
        request_id_context(request_id),
    ):
        pass
