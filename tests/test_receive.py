"""What listens for the end of a request, from the server and from us."""

import asyncio

import pytest

from asgi_middleware._receive import Listening
from asgi_middleware.types import Message
from tests.thread_pool.calls import until

REQUEST: Message = {"type": "http.request", "body": b"", "more_body": False}
GONE: Message = {"type": "http.disconnect"}


class Server:
    """A ``receive`` that hands out *messages*, and then waits for ever."""

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


async def listens(listening: Listening) -> "asyncio.Task[Message]":
    """Return a task that waits for the next message."""
    task = asyncio.create_task(listening.receive())
    await until(lambda: task in listening.waiting)
    return task


async def test_messages_pass_as_they_are() -> None:
    assert await Listening(Server(REQUEST), instead).receive() is REQUEST


@pytest.mark.parametrize("kind", ["http.disconnect", "websocket.disconnect"])
async def test_the_server_is_not_asked_again_once_the_client_has_gone(kind: str) -> None:
    server = Server({"type": kind})
    listening = Listening(server, instead)

    assert await listening.receive() is await listening.receive()
    assert server.asked == 1


async def test_who_waits_is_told_at_once() -> None:
    listening = Listening(Server(), instead)
    waiting = await listens(listening)

    listening.end()

    assert await waiting == {"type": "http.disconnect", "from": "us"}
    assert waiting.cancelling() == 0
    assert not listening.waiting


async def test_who_asks_later_is_told_without_the_server() -> None:
    server = Server(REQUEST)
    listening = Listening(server, instead)

    listening.end()

    assert await listening.receive() == {"type": "http.disconnect", "from": "us"}
    assert server.asked == 0


async def test_all_who_wait_are_told() -> None:
    listening = Listening(Server(), instead)
    waiting = [await listens(listening), await listens(listening)]

    listening.end()

    assert [message["type"] for message in await asyncio.gather(*waiting)] == [
        "http.disconnect",
        "http.disconnect",
    ]


async def test_a_cancellation_of_somebody_else_passes() -> None:
    listening = Listening(Server(), instead)
    waiting = await listens(listening)

    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not listening.waiting


async def test_a_cancellation_at_the_same_moment_passes() -> None:
    listening = Listening(Server(), instead)
    waiting = await listens(listening)

    listening.end()
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert waiting.cancelling() == 1


async def test_a_task_that_was_cancelled_before_may_still_listen() -> None:
    listening = Listening(Server(), instead)
    begun = asyncio.Event()

    async def tidying() -> Message:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return await listening.receive()
        raise AssertionError("unreachable")

    task = asyncio.create_task(tidying())
    await begun.wait()
    task.cancel()
    await until(lambda: task in listening.waiting)

    listening.end()

    assert (await task)["from"] == "us"
    assert task.cancelling() == 1
