"""All of asgi.py in this process: layers, Django and Channels, without a server."""

import json
import re
from collections.abc import AsyncIterator
from datetime import datetime

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from asgi_middleware.testing import HandshakeRefused, SocketClosed, recording, stream, websocket
from asgi_middleware.types import ASGIApp

pytestmark = pytest.mark.usefixtures("database")


@pytest.fixture
async def client(running: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(running), base_url="http://testserver"
    ) as client:
        yield client


async def test_the_page_shows_the_id_of_its_own_request(client: httpx.AsyncClient) -> None:
    response = await client.get("/", headers={"x-request-id": "shown-on-the-page"})

    assert "<code>shown-on-the-page</code>" in response.text


async def test_an_async_view_reads_what_startup_opened(client: httpx.AsyncClient) -> None:
    response = await client.get("/status/")

    assert response.json()["seconds"] >= 0


async def test_starlette_has_the_state_of_its_own_lifespan(client: httpx.AsyncClient) -> None:
    first, second = await client.get("/echo/"), await client.get("/echo/")

    assert (first.json()["number"], second.json()["number"]) == (1, 2)


async def test_starlette_and_django_share_what_startup_opened(client: httpx.AsyncClient) -> None:
    of_starlette, of_django = await client.get("/echo/"), await client.get("/status/")

    written = datetime.fromisoformat(of_starlette.json()["started_at"])
    # Django's JSON has milliseconds.
    assert datetime.fromisoformat(of_django.json()["started_at"]) == written.replace(
        microsecond=written.microsecond // 1000 * 1000
    )


async def test_starlette_is_behind_the_layers_too(client: httpx.AsyncClient) -> None:
    response = await client.get("/echo/", headers={"x-request-id": "of-both"})

    assert (response.json()["request_id"], response.headers["x-request-id"]) == (
        "of-both",
        "of-both",
    )


async def test_an_echo_does_not_show_cookies(client: httpx.AsyncClient) -> None:
    response = await client.get("/echo/", headers={"cookie": "sessionid=secret"})

    assert "secret" not in response.text


async def test_ticks_are_streamed_one_by_one(running: ASGIApp) -> None:
    async with stream(recording(running), target="/ticks/") as exchange:
        exchange.send_body(b"", more_body=False)
        start, *ticks = [await exchange.message() for _ in range(3)]

    assert (start["status"], [tick["body"] for tick in ticks]) == (
        200,
        [b"data: 0\n\n", b"data: 1\n\n"],
    )


async def test_the_stream_of_ticks_is_closed_when_its_client_leaves(
    running: ASGIApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="example_project.inspector.views")

    async with stream(recording(running), target="/ticks/") as exchange:
        exchange.send_body(b"", more_body=False)
        await exchange.message()
        await exchange.message()

    assert caplog.messages.count("closed: the stream of ticks") == 1


async def test_the_page_reports_its_phases(client: httpx.AsyncClient) -> None:
    response = await client.get("/notes/")

    assert _phases(response) == ["app", "db", "notes", "render"]


async def test_a_form_reports_its_phases(client: httpx.AsyncClient) -> None:
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', (await client.get("/")).text)
    assert token

    response = await client.post("/notes/", data={"text": "x", "csrfmiddlewaretoken": token[1]})

    assert _phases(response) == ["app", "db", "save"]


async def test_a_visitor_without_a_session_is_anonymous(running: ASGIApp) -> None:
    headers = {"x-request-id": "of-the-handshake"}
    async with websocket(running, "/ws/echo/", headers=headers) as socket:
        assert json.loads(await socket.receive()) == {
            "type": "welcome",
            "user": "anonymous",
            "request_id": "of-the-handshake",
        }


async def test_a_consumer_knows_the_user_of_the_session(running: ASGIApp) -> None:
    headers = {"cookie": await sync_to_async(_session_cookie)("ada")}
    async with websocket(running, "/ws/echo/", headers=headers) as socket:
        assert json.loads(await socket.receive())["user"] == "ada"


async def test_a_consumer_sends_back_the_json_that_it_receives(running: ASGIApp) -> None:
    async with websocket(running, "/ws/echo/") as socket:
        await socket.receive()  # the welcome
        await socket.send(json.dumps({"any": ["value"]}))

        assert json.loads(await socket.receive()) == {
            "type": "echo",
            "content": {"any": ["value"]},
        }


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("not JSON", id="text"),
        pytest.param("", id="nothing"),
        pytest.param(b"\xff\xfe\xfd", id="bytes"),
    ],
)
async def test_invalid_json_closes_the_websocket(sent: str | bytes, running: ASGIApp) -> None:
    async with websocket(running, "/ws/echo/") as socket:
        await socket.receive()  # the welcome
        await socket.send(sent)

        with pytest.raises(SocketClosed) as closed:
            await socket.receive()

    assert closed.value.code == 1003


@pytest.mark.parametrize("path", ["/ws/nowhere/", "/", "/ws/echo/more/", "/ws/echo/%0a"])
async def test_a_websocket_to_an_unknown_path_is_refused(path: str, running: ASGIApp) -> None:
    with pytest.raises(HandshakeRefused) as refused:
        async with websocket(running, path):
            pass

    assert refused.value.status == 403


def _phases(response: httpx.Response) -> list[str]:
    entries = response.headers["server-timing"].split(", ")
    return [entry.partition(";")[0] for entry in entries]


def _session_cookie(name: str) -> str:
    client = Client()
    client.force_login(User.objects.create_user(name))
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
