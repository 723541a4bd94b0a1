"""The app notes: its tasks, its stream, and its WebSocket. The app's own tests cover the rest."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.utils.module_loading import import_string

from asgi_middleware.testing import recording, stream, websocket
from asgi_middleware.types import ASGIApp

pytestmark = pytest.mark.usefixtures("database")

Note: Any = import_string("example_project.notes.models.Note")
forget_old_notes: Any = import_string("example_project.notes.tasks.forget_old_notes")


@sync_to_async
def texts() -> list[str]:
    return list(Note.objects.values_list("text", flat=True))


@sync_to_async
def saved(count: int) -> None:
    for number in range(count):
        Note.objects.create(text=f"{number}")


async def until(condition: Callable[[list[str]], bool]) -> list[str]:
    async with asyncio.timeout(30):
        while not condition(found := await texts()):  # noqa: ASYNC110 -- a database announces nothing
            await asyncio.sleep(0.01)
    return found


@pytest.fixture
async def client(running: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A visitor who has loaded the page."""
    transport = httpx.ASGITransport(running)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        await client.get("/notes/")
        yield client


async def post(client: httpx.AsyncClient, text: str) -> httpx.Response:
    token = client.cookies["csrftoken"]
    return await client.post("/notes/", data={"text": text, "csrfmiddlewaretoken": token})


async def test_the_latest_hundred_notes_are_kept() -> None:
    await saved(102)

    await forget_old_notes()

    assert await texts() == [f"{number}" for number in range(101, 1, -1)]


async def test_saving_a_note_deletes_old_ones_in_the_background(client: httpx.AsyncClient) -> None:
    await saved(101)

    await post(client, "new")

    kept = await until(lambda found: len(found) <= 100)
    assert (kept[0], kept[-1], len(kept)) == ("new", "2", 100)


def test_without_the_layers_a_note_is_saved_and_none_is_deleted() -> None:
    Note.objects.bulk_create(Note(text=f"{number}") for number in range(100))

    response = Client().post("/notes/", {"text": "new"})

    assert (response.status_code, Note.objects.count()) == (302, 101)


async def test_a_note_from_the_form_reaches_the_stream_and_the_websockets(
    running: ASGIApp, client: httpx.AsyncClient
) -> None:
    async with (
        websocket(running, "/ws/notes/") as socket,
        stream(recording(running), target="/notes/stream/") as exchange,
    ):
        assert json.loads(await socket.receive())["user"] == "anonymous"
        exchange.send_body(b"", more_body=False)
        start, first = await exchange.message(), await exchange.message()
        assert (start["status"], first["body"]) == (200, b"retry: 1000\n\n")

        await post(client, "Hello")

        event = await exchange.message()
        heard = json.loads(await socket.receive())["note"]
    assert json.loads(event["body"].removeprefix(b"data: ")) == heard
    assert heard["text"] == "Hello"


async def test_a_websocket_saves_a_note(running: ASGIApp) -> None:
    async with websocket(running, "/ws/notes/") as socket:
        await socket.receive()  # who we are
        await socket.send("from a socket")

        assert json.loads(await socket.receive())["note"]["text"] == "from a socket"
    assert await texts() == ["from a socket"]


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("", id="nothing"),
        pytest.param("x" * 201, id="too long"),
        pytest.param(b"\xff\xfe\xfd", id="bytes"),
    ],
)
async def test_a_websocket_is_told_what_is_wrong_with_a_note(
    sent: str | bytes, running: ASGIApp
) -> None:
    async with websocket(running, "/ws/notes/") as socket:
        await socket.receive()  # who we are
        await socket.send(sent)

        assert json.loads(await socket.receive())["errors"]
    assert await texts() == []
