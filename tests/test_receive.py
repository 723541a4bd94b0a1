"""EndableReceive: our code can end the app's receive() instead of the server."""

import asyncio

import pytest

from asgi_middleware._receive import EndableReceive
from asgi_middleware.types import Message
from tests.thread_pool.calls import until

REQUEST: Message = {"type": "http.request", "body": b"", "more_body": False}
GONE: Message = {"type": "http.disconnect"}


class Server:
    """A ``receive`` that hands out *messages*, and then waits forever."""

    def __init__(self, *messages: Message) -> None:
        self.asked = 0
        self._messages = list(messages)

    async def __call__(self) -> Message:
        self.asked += 1
        if self._messages:
            return self._messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


async def instead() -> Message:
    return {"type": "http.disconnect", "from": "us"}


async def waiting_receive(endable: EndableReceive) -> "asyncio.Task[Message]":
    """Return a task that is waiting for the server in receive()."""
    task = asyncio.create_task(endable.receive())
    await until(lambda: task in endable.waiting)
    return task


async def test_the_servers_messages_pass_unchanged() -> None:
    assert await EndableReceive(Server(REQUEST), instead).receive() is REQUEST


@pytest.mark.parametrize("kind", ["http.disconnect", "websocket.disconnect"])
async def test_the_server_is_not_asked_again_once_the_client_has_gone(kind: str) -> None:
    server = Server({"type": kind})
    endable = EndableReceive(server, instead)

    assert await endable.receive() is await endable.receive()
    assert server.asked == 1


async def test_an_app_that_receives_in_a_loop_after_the_disconnect_lets_other_tasks_run() -> None:
    endable = EndableReceive(Server(GONE), instead)
    turns = 0

    async def others() -> None:
        nonlocal turns
        while turns < 100:
            turns += 1
            await asyncio.sleep(0)

    going_on = asyncio.create_task(others())
    async with asyncio.timeout(10):
        while not going_on.done():
            assert (await endable.receive()) is GONE

    assert turns == 100


async def test_a_waiting_task_gets_our_message_at_once() -> None:
    endable = EndableReceive(Server(), instead)
    waiting = await waiting_receive(endable)

    endable.end()

    assert await waiting == {"type": "http.disconnect", "from": "us"}
    assert waiting.cancelling() == 0
    assert not endable.waiting


async def test_a_later_call_gets_our_message_without_asking_the_server() -> None:
    server = Server(REQUEST)
    endable = EndableReceive(server, instead)

    endable.end()

    assert await endable.receive() == {"type": "http.disconnect", "from": "us"}
    assert server.asked == 0


async def test_all_waiting_tasks_get_our_message() -> None:
    endable = EndableReceive(Server(), instead)
    waiting = [await waiting_receive(endable), await waiting_receive(endable)]

    endable.end()

    assert [message["type"] for message in await asyncio.gather(*waiting)] == [
        "http.disconnect",
        "http.disconnect",
    ]


async def test_a_cancellation_by_other_code_passes_through() -> None:
    endable = EndableReceive(Server(), instead)
    waiting = await waiting_receive(endable)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not endable.waiting


async def test_a_cancellation_at_the_moment_of_the_end_passes_through() -> None:
    endable = EndableReceive(Server(), instead)
    waiting = await waiting_receive(endable)

    endable.end()
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert waiting.cancelling() == 1


async def test_a_task_that_was_cancelled_before_can_still_receive() -> None:
    endable = EndableReceive(Server(), instead)
    begun = asyncio.Event()

    async def tidying() -> Message:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await endable.receive()
        raise AssertionError("unreachable")

    task = asyncio.create_task(tidying())
    await begun.wait()
    task.cancel()
    await until(lambda: task in endable.waiting)

    endable.end()

    assert (await task)["from"] == "us"
    assert task.cancelling() == 1
