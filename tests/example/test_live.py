"""The live view: what it shows and leaves out, who may watch, and that no request waits for it."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from asgi_middleware import Readiness, Stack, ThreadPool, measure
from asgi_middleware.testing import (
    HandshakeRefused,
    recording,
    request,
    stream,
    websocket,
)
from asgi_middleware.timing import TimingMiddleware
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from example_project.inspector.live import publisher
from example_project.inspector.live.events import event_of_line
from example_project.inspector.live.feed import Feed, FeedHandler
from example_project.inspector.live.sent import SentHeadersMiddleware
from example_project.inspector.stack import LAYERS
from tests.apps import hello

PATIENCE = 30.0


async def events_of(app: ASGIApp, **options: Any) -> list[dict[str, Any]]:
    """Return the events that one request puts into the feed."""
    feed = Feed()
    stack = SentHeadersMiddleware(TimingMiddleware(app, observers=[feed]))
    await request(stack, **options)
    return feed.take(10)


# --- what is shown ---


async def test_the_event_for_a_request_has_its_metadata() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["timing"].route = "notes/<int:pk>/"
        with measure("render"):
            pass
        await hello(scope, receive, send)

    [event] = await events_of(app)

    assert (event["kind"], event["method"], event["route"], event["status"], event["outcome"]) == (
        "request",
        "GET",
        "notes/<int:pk>/",
        200,
        "ok",
    )
    assert event["bytes"] == len(b"hello")
    assert [phase["name"] for phase in event["phases"]] == ["render"]
    assert 0 <= event["ttfb"] <= event["duration"]


@pytest.mark.parametrize(
    ("method", "request_headers", "response_headers", "decision"),
    [
        pytest.param("GET", {}, {}, None, id="no origin"),
        pytest.param(
            "GET",
            {"origin": "https://a.example"},
            {"access-control-allow-origin": "*"},
            "allowed",
            id="allowed",
        ),
        pytest.param("GET", {"origin": "https://a.example"}, {}, "refused", id="refused"),
        pytest.param(
            "OPTIONS",
            {"origin": "https://a.example", "access-control-request-method": "PUT"},
            {"access-control-allow-origin": "https://a.example"},
            "preflight allowed",
            id="preflight",
        ),
        pytest.param(
            "OPTIONS",
            {"origin": "https://a.example", "access-control-request-method": "PUT"},
            {},
            "preflight refused",
            id="refused preflight",
        ),
        pytest.param("OPTIONS", {"origin": "https://a.example"}, {}, "refused", id="only OPTIONS"),
    ],
)
async def test_the_event_for_a_request_has_the_cors_decision(
    method: str,
    request_headers: dict[str, str],
    response_headers: dict[str, str],
    decision: str | None,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name.encode(), value.encode()) for name, value in response_headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    [event] = await events_of(app, method=method, headers=request_headers)

    assert event["cors"] == decision


async def test_the_event_for_a_request_has_the_headers_of_outer_layers() -> None:
    feed = Feed()
    app = SentHeadersMiddleware(
        TimingMiddleware(TimingMiddleware(hello, observers=[feed]), server_timing=True)
    )

    await request(app)

    [event] = feed.take(1)
    assert event["sent"]["server-timing"].startswith("app;dur=")


def test_the_event_for_a_log_line_has_no_queries() -> None:
    line = logging.LogRecord(
        "uvicorn.access", logging.INFO, "", 1, 'GET "/reset/?token=secret HTTP/1.1"', (), None
    )

    event = event_of_line(line, "the-id")

    assert event["message"] == 'GET "/reset/?… HTTP/1.1"'
    assert (event["id"], event["level"], event["logger"]) == ("the-id", "INFO", "uvicorn.access")


# --- no request waits ---


def test_a_full_feed_drops_events_and_counts_them() -> None:
    feed = Feed(limit=2)

    for number in range(5):
        feed.put(partial(dict, number=number))

    assert feed.dropped == 3
    assert feed.take(10) == [{"number": 0}, {"number": 1}]
    assert feed.take(10) == []


def test_a_batch_of_events_has_a_limit() -> None:
    feed = Feed()
    for number in range(5):
        feed.put(partial(dict, number=number))

    assert len(feed.take(3)) == 3
    assert len(feed.take(3)) == 2


async def test_the_feed_counts_requests_in_flight() -> None:
    feed = Feed()
    seen: list[int] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(feed.in_flight)
        await hello(scope, receive, send)

    await request(TimingMiddleware(app, observers=[feed]))

    assert (seen, feed.in_flight) == ([1], 0)


async def test_the_feed_leaves_out_the_live_views_own_requests() -> None:
    feed = Feed()

    await request(TimingMiddleware(hello, observers=[feed]), target="/live/")

    assert feed.take(10) == []


def test_the_feed_leaves_out_log_lines_without_an_id() -> None:
    feed = Feed()
    handler = FeedHandler(feed)

    for message, fields in (("of no request", {}), ("of one", {"request_id": "the-id"})):
        line = logging.LogRecord("of.a.test", logging.INFO, "", 1, message, (), None)
        line.__dict__.update(fields)
        handler.handle(line)

    assert [event["message"] for event in feed.take(10)] == ["of one"]


async def test_a_failing_channel_layer_is_logged_once_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    published: list[dict[str, Any]] = []
    tried = 0
    recovered = asyncio.Event()

    async def publish(message: dict[str, Any]) -> None:
        nonlocal tried
        tried += 1
        if tried <= 5:
            raise ConnectionError("no layer")
        published.append(message)
        recovered.set()

    monkeypatch.setattr(publisher, "publish", publish)
    monkeypatch.setattr(publisher, "INTERVAL", 0)
    monkeypatch.setattr(publisher, "COUNTERS_EVERY", 1)
    publishing = publisher.Publisher(Feed(), ThreadPool(), Readiness())
    running = asyncio.create_task(publishing.run())
    async with asyncio.timeout(PATIENCE):
        await recovered.wait()
    running.cancel()

    assert published[0]["type"] == "counters"
    assert [each.message for each in caplog.records if each.name == publisher.__name__] == [
        "the live view is interrupted: ConnectionError('no layer')"
    ]


# --- the whole application ---


@pytest.fixture
async def client(running: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(running, raise_app_exceptions=False),
        base_url="http://testserver",
    ) as client:
        yield client


@pytest.fixture
def in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DEBUG", False)


def cookies_of(user: User) -> str:
    client = Client()
    client.force_login(user)
    return f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"


SCENARIOS = ["allowed", "slow", "stream", "blocking"]
POSTED = ["cookie", "burst", "job", "drain"]


@pytest.mark.usefixtures("database", "in_production")
@pytest.mark.parametrize(
    "path", ["/live/", *(f"/scenarios/{name}/" for name in SCENARIOS)], ids=["live", *SCENARIOS]
)
async def test_in_production_a_stranger_finds_nothing(path: str, client: httpx.AsyncClient) -> None:
    assert (await client.get(path)).status_code == 404


@pytest.mark.usefixtures("database", "in_production")
@pytest.mark.parametrize("name", POSTED)
async def test_in_production_a_stranger_starts_nothing(
    name: str, client: httpx.AsyncClient
) -> None:
    await client.get("/")
    token = client.cookies["csrftoken"]

    response = await client.post(f"/scenarios/{name}/", headers={"x-csrftoken": token})

    assert response.status_code == 404


@pytest.mark.usefixtures("database", "in_production")
async def test_in_production_a_strangers_page_has_no_script(client: httpx.AsyncClient) -> None:
    page = await client.get("/")

    assert page.status_code == 200
    assert "<script" not in page.text
    assert "The stack" in page.text


@pytest.mark.usefixtures("database", "in_production")
async def test_in_production_a_strangers_socket_is_refused(running: ASGIApp) -> None:
    with pytest.raises(HandshakeRefused):
        async with websocket(running, "/ws/live/"):
            pass


@pytest.mark.usefixtures("database", "in_production")
async def test_in_production_staff_may_watch(running: ASGIApp) -> None:
    user = await sync_to_async(User.objects.create_user)("ada", is_staff=True)
    headers = {
        "host": "testserver",
        "cookie": await sync_to_async(cookies_of)(user),
    }

    async with websocket(running, "/ws/live/", headers=headers) as socket:
        hello = json.loads(await socket.receive())
        counters = json.loads(await socket.receive())
    async with stream(recording(running), target="/live/", headers=headers) as exchange:
        exchange.send_body(b"", more_body=False)
        start = await exchange.message()
        first = await exchange.message()

    assert hello["type"] == "hello"
    assert counters["type"] == "counters"
    assert start["status"] == 200
    assert b'"type": "hello"' in first["body"]


@pytest.mark.usefixtures("database")
async def test_no_secret_leaves_the_process(running: ASGIApp) -> None:
    app: Any = recording(running)
    texts: list[str] = []

    async with (
        websocket(running, "/ws/live/") as socket,
        asyncio.timeout(PATIENCE),
    ):
        await request(
            app,
            "POST",
            "/notes/?token=secret-query",
            headers={
                "host": "testserver",
                "cookie": "sessionid=secret-cookie",
                "authorization": "secret-header",
                "content-type": "application/x-www-form-urlencoded",
                "x-request-id": "of-secrets",
            },
            body=b"text=secret-body",
        )
        # The event for its record comes last.
        while not any('"kind": "request"' in text and "of-secrets" in text for text in texts):
            texts.append(str(await socket.receive()))

    assert "secret-" not in "".join(texts)


def test_the_page_lists_the_layers_of_the_stack(application: Stack) -> None:
    layers = [type(layer).__name__ for layer in application.layers[:-2]]

    assert [each.name for each in LAYERS] == layers
