"""The work that views leave to the background."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.test import Client
from django.utils.module_loading import import_string

from asgi_middleware.types import ASGIApp

pytestmark = pytest.mark.usefixtures("database")

Note: Any = import_string("example_project.notes.models.Note")
forget_old_notes: Any = import_string("example_project.notes.jobs.forget_old_notes")


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


async def test_the_latest_hundred_notes_are_kept() -> None:
    await saved(102)

    await forget_old_notes()

    assert await texts() == [f"{number}" for number in range(101, 1, -1)]


async def test_saving_a_note_deletes_old_ones_in_the_background(running: ASGIApp) -> None:
    await saved(101)
    transport = httpx.ASGITransport(running)
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        await client.get("/")
        token = client.cookies["csrftoken"]

        await client.post("/notes/", data={"text": "new", "csrfmiddlewaretoken": token})

    kept = await until(lambda found: len(found) <= 100)
    assert (kept[0], kept[-1], len(kept)) == ("new", "2", 100)


def test_without_the_layers_a_note_is_saved_and_none_is_deleted() -> None:
    Note.objects.bulk_create(Note(text=f"{number}") for number in range(100))

    response = Client().post("/notes/", {"text": "new"})

    assert (response.status_code, Note.objects.count()) == (302, 101)
