"""The views, called by Django's test clients without a server and without the layers."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest
from django.contrib.auth.models import User
from django.http import Http404, HttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client
from django.urls import resolve

from asgi_middleware.testing.django import override_state

pytestmark = pytest.mark.usefixtures("database")


def test_the_page_says_that_there_are_no_notes_yet() -> None:
    assert "None yet." in Client().get("/notes/").text


def test_the_page_works_without_the_layers() -> None:
    assert "none, because the layers are not in use" in Client().get("/").text


def test_a_note_appears_on_the_page() -> None:
    response = Client().post("/notes/", {"text": "Hello <b>there</b>"}, follow=True)

    assert ">Hello &lt;b&gt;there&lt;/b&gt; <time" in response.text


def test_the_latest_note_comes_first() -> None:
    client = Client()
    client.post("/notes/", {"text": "first"})
    client.post("/notes/", {"text": "second"})

    notes = client.get("/notes/").context["notes"]

    assert [note.text for note in notes] == ["second", "first"]


@pytest.mark.parametrize(
    "text", [pytest.param("", id="empty"), pytest.param("x" * 201, id="too long")]
)
def test_an_invalid_note_is_refused(text: str) -> None:
    assert Client().post("/notes/", {"text": text}).status_code == 400


def test_a_form_from_another_site_is_refused() -> None:
    client = Client(enforce_csrf_checks=True)

    assert client.post("/notes/", {"text": "forged"}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/status/", "/ticks/", "/outgoing/", "/fail/"])
def test_a_view_that_only_reads_refuses_post(path: str) -> None:
    assert Client().post(path).status_code == 405


async def test_the_status_comes_from_the_state() -> None:
    with override_state(started_at=datetime(2026, 1, 2, tzinfo=UTC)):
        response = await AsyncClient().get("/status/")

    assert response.json()["started_at"] == "2026-01-02T00:00:00Z"


async def test_the_status_works_without_a_state() -> None:
    response = await AsyncClient().get("/status/")

    assert response.json()["started_at"] is None


@pytest.mark.parametrize("path", ["/ticks/", "/outgoing/"])
def test_a_view_that_needs_startup_is_a_404_without_it(path: str) -> None:
    assert Client().get(path).status_code == 404


async def outgoing(address: tuple[str, int | str | None]) -> HttpResponse:
    """Return the response of /outgoing/ on a server that listens on *address*."""
    request = AsyncRequestFactory().get("/outgoing/")
    request.scope = {**request.scope, "server": address}
    async with httpx.AsyncClient(trust_env=False) as client, override_state(client=client):
        response: HttpResponse = await resolve("/outgoing/").func(request)
        return response


@pytest.mark.parametrize("spelled", [int, str], ids=["port as in ASGI", "port as in granian"])
async def test_a_service_that_does_not_respond_is_a_bad_gateway(
    spelled: Callable[[int], int | str],
) -> None:
    with socket.socket() as nobody_listens:
        nobody_listens.bind(("127.0.0.1", 0))
        host, port = nobody_listens.getsockname()

        response = await outgoing((host, spelled(port)))

    assert response.status_code == 502


async def test_a_server_on_a_unix_socket_cannot_call_itself() -> None:
    with pytest.raises(Http404):
        await outgoing(("/run/example.sock", None))


def test_the_fail_view_raises() -> None:
    with pytest.raises(RuntimeError, match="raised on purpose"):
        Client().get("/fail/")


def test_a_user_logs_in_and_out() -> None:
    User.objects.create_user("ada", password="a password")
    client = Client()

    logged_in = client.post("/login/", {"username": "ada", "password": "a password"})
    shown = client.get("/login/").text
    client.post("/logout/")

    assert logged_in.headers["location"] == "/"
    assert "You are logged in as ada." in shown
    assert "You are" not in client.get("/login/").text


def test_a_wrong_password_logs_nobody_in() -> None:
    User.objects.create_user("ada", password="a password")
    client = Client()

    client.post("/login/", {"username": "ada", "password": "another"})

    assert "You are" not in client.get("/login/").text
