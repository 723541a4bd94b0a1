"""Clients in tests: Django's own calls Django alone, ours and httpx go through the layers."""

import inspect
import re
import textwrap
from importlib import import_module
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import User
from django.test import AsyncClient

from asgi_middleware.testing import lifespan
from asgi_middleware.testing.django import StackClient
from asgi_middleware.types import ASGIApp

# The module, because the package has a function of the same name.
DOCSTRING = inspect.getdoc(import_module("asgi_middleware.testing.lifespan"))
assert DOCSTRING
[EXAMPLE] = re.findall(r"(?:^    .*\n|^\n(?=    ))+", DOCSTRING, re.MULTILINE)

pytestmark = pytest.mark.usefixtures("database")


async def test_the_example_of_the_docstring_goes_through_the_layers(application: ASGIApp) -> None:
    body = textwrap.indent(textwrap.dedent(EXAMPLE) + "\nreturn response", "    ")
    names: dict[str, Any] = {"application": application, "httpx": httpx, "lifespan": lifespan}
    exec(f"async def run():\n{body}", names)

    response = await names["run"]()

    assert response.json()["seconds"] >= 0
    assert "x-request-id" in response.headers


async def test_the_client_goes_through_the_layers() -> None:
    async with StackClient() as client:
        response: Any = await client.get("/status/")

    assert response.json()["seconds"] >= 0
    assert response.headers["X-Request-ID"] == response.json()["request_id"]


async def test_a_visitor_logs_in_writes_a_note_and_reads_it() -> None:
    await User.objects.acreate_user("ada", password="a password")
    async with StackClient() as client:
        assert await client.alogin(username="ada", password="a password")
        page: Any = await client.post("/notes/", {"text": "Hello"}, follow=True)
        shown: Any = await client.get("/login/")

    assert page.redirect_chain == [("/notes/", 302)]
    assert [note.text for note in page.context["notes"]] == ["Hello"]
    assert "You are logged in as ada." in shown.text


async def test_djangos_client_by_itself_has_no_state() -> None:
    response = await AsyncClient().get("/status/")

    assert response.json()["seconds"] is None
