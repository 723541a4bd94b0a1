"""The live view: what it shows and leaves out, who may watch, and that no request waits for it."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client

from asgi_middleware import Readiness, RequestIDMiddleware, Stack, ThreadPool, measure
from asgi_middleware.testing import (
    HandshakeRefused,
    recording,
    request,
    stream,
    websocket,
)
from asgi_middleware.timing import RequestTiming, TimingMiddleware
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from example_project.inspector.live import publisher
from example_project.inspector.live.events import event_of_line
from example_project.inspector.live.feed import Feed, FeedHandler
from example_project.inspector.live.sent import SentHeadersMiddleware
from example_project.inspector.scenarios import urls as scenarios
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


async def test_the_event_for_a_request_has_its_path_without_a_query() -> None:
    [event] = await events_of(hello, target="/notes/7/?token=secret")

    assert event["path"] == "/notes/7/"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        pytest.param('"GET /reset/?token=secret HTTP/1.1"', '"GET /reset/?… HTTP/1.1"', id="HTTP"),
        pytest.param(
            '"WebSocket /ws/?token=secret" [accepted]',
            '"WebSocket /ws/?…" [accepted]',
            id="WebSocket",
        ),
        pytest.param(
            '"GET /?a=\'&token=secret HTTP/1.1"', '"GET /?… HTTP/1.1"', id="a single quote"
        ),
        pytest.param(
            '"GET /?a="&token=secret HTTP/1.1"', '"GET /?… HTTP/1.1"', id="a double quote"
        ),
        pytest.param("GET /?a=1?token=secret", "GET /?…", id="a question mark"),
        pytest.param("Ready? Yes.", "Ready? Yes.", id="no query"),
    ],
)
def test_the_event_for_a_log_line_has_no_queries(message: str, shown: str) -> None:
    line = logging.LogRecord("uvicorn.access", logging.INFO, "", 1, message, (), None)

    event = event_of_line(line, "the-id", None)

    assert event["message"] == shown
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


def flooded(feed: Feed, address: str, count: int, *, staff: bool = False) -> None:
    """Put *count* events of a client into the feed."""
    record = RequestTiming({"type": "http", "client": (address, 1)}, time.perf_counter, 0.0)
    record.expose = staff
    for number in range(count):
        feed.put(partial(dict, address=address, number=number), record)


def test_a_client_that_floods_the_feed_hides_no_other_client() -> None:
    feed = Feed(limit=100)

    flooded(feed, "192.0.2.1", 1_000)
    flooded(feed, "192.0.2.2", 3)
    flooded(feed, "192.0.2.1", 1_000)

    first = feed.take(6)
    assert [event["address"] for event in first].count("192.0.2.2") == 3
    assert feed.dropped == 1_903


def test_many_addresses_of_one_network_are_one_client() -> None:
    feed = Feed(limit=100)

    for number in range(1_000):
        flooded(feed, f"2001:db8::{number:x}", 1)
    flooded(feed, "2001:db8:1::1", 3)

    assert [event["address"] for event in feed.take(6)].count("2001:db8:1::1") == 3


def test_nobody_can_hide_requests_of_staff_even_from_the_same_address() -> None:
    feed = Feed(limit=100)

    flooded(feed, "192.0.2.1", 1_000)
    flooded(feed, "192.0.2.1", 3, staff=True)

    assert [event["number"] for event in feed.take(3)] == [0, 1, 2]
    assert feed.dropped == 900


async def test_the_feed_leaves_out_requests_to_the_live_view() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["timing"].route = "live/"
        await hello(scope, receive, send)

    assert await events_of(app, target="/live/") == []


@pytest.mark.parametrize("path", ["/live/", "/ws/live/", "/scenarios/slow/"])
async def test_nobody_can_hide_a_request_with_a_path_of_the_live_view(path: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["timing"].route = path[1:]
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body"})

    [event] = await events_of(app, target=path)

    assert event["path"] == path


@pytest.mark.parametrize("request_id", ["-", "of-someone-else"])
async def test_nobody_can_hide_log_lines_with_a_request_id(request_id: str) -> None:
    feed = Feed()
    handler = FeedHandler(feed)
    line = partial(logging.LogRecord, "of.a.test", logging.INFO, "", 1)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        handler.handle(line(scope["path"], (), None))
        await hello(scope, receive, send)

    stack = RequestIDMiddleware(TimingMiddleware(app, observers=[feed]))
    for path in ("/first", "/second"):
        await asyncio.create_task(request(stack, target=path, headers={"x-request-id": request_id}))

    one, first, other, second = feed.take(10)
    assert [event["message"] for event in (one, other)] == ["/first", "/second"]
    assert [event["path"] for event in (first, second)] == ["/first", "/second"]
    # The page matches a log line to its request by this key.
    assert one["key"] == first["key"] != second["key"] == other["key"]


async def test_the_feed_leaves_out_log_lines_without_an_id() -> None:
    feed = Feed()
    handler = FeedHandler(feed)

    for message, fields in (("of no request", {}), ("of one", {"request_id": "the-id"})):
        line = logging.LogRecord("of.a.test", logging.INFO, "", 1, message, (), None)
        line.__dict__.update(fields)
        handler.handle(line)

    assert [event["message"] for event in feed.take(10)] == ["of one"]


async def test_the_feed_counts_open_websockets_and_served_requests() -> None:
    feed = Feed()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            return await hello(scope, receive, send)
        await receive()
        await send({"type": "websocket.accept"})
        await receive()

    timed = TimingMiddleware(app, observers=[feed])
    await request(timed)
    async with websocket(timed, "/"):
        counted = (feed.served, feed.sockets, feed.in_flight)

    assert counted == (1, 1, 0)
    assert (feed.served, feed.sockets, feed.in_flight) == (2, 0, 0)


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


UUID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
HIDDEN = [
    "/live/",
    *(f"/scenarios/{each.pattern}".replace("<uuid:new>", UUID) for each in scenarios.urlpatterns),
]
ORIGIN = {"origin": "http://localhost:9000"}
ASKING = {**ORIGIN, "access-control-request-method": "POST"}


@pytest.mark.usefixtures("database", "in_production")
@pytest.mark.parametrize(
    ("method", "headers", "size"),
    [
        pytest.param("GET", {}, 0, id="GET"),
        pytest.param("HEAD", {}, 0, id="HEAD"),
        pytest.param("POST", {}, 0, id="POST"),
        pytest.param("POST", {"x-csrftoken": "wrong"}, 0, id="a wrong token"),
        pytest.param("POST", {"x-csrftoken": "from the cookie"}, 0, id="a token"),
        pytest.param("POST", {"content-type": "application/json"}, 20_000, id="a body"),
        pytest.param("POST", {}, 6_000_000, id="a body that is too large everywhere"),
        pytest.param("DELETE", {}, 0, id="another method"),
        pytest.param("OPTIONS", {}, 0, id="OPTIONS"),
        pytest.param("OPTIONS", ASKING, 0, id="a preflight"),
        pytest.param("GET", ORIGIN, 0, id="another origin"),
        pytest.param("GET", {"cookie": "sessionid=forged"}, 0, id="a forged session"),
    ],
)
async def test_in_production_a_stranger_cannot_tell_hidden_paths_from_unknown_ones(
    method: str, headers: dict[str, str], size: int, client: httpx.AsyncClient
) -> None:
    if headers.get("x-csrftoken") == "from the cookie":
        await client.get("/")
        headers = {"x-csrftoken": client.cookies["csrftoken"]}

    async def seen(path: str) -> tuple[object, ...]:
        response = await client.request(method, path, headers=headers, content=b"x" * size)
        differing = ("x-request-id", "server-timing")
        kept = [pair for pair in response.headers.items() if pair[0] not in differing]
        return response.status_code, kept, response.text

    for path in (*HIDDEN, *(path.rstrip("/") for path in HIDDEN)):
        assert (path, await seen(path)) == (path, await seen(f"/unknown{path}"))


@pytest.mark.usefixtures("database", "in_production")
async def test_in_production_staff_may_play_scenarios(client: httpx.AsyncClient) -> None:
    user = await sync_to_async(User.objects.create_user)("ada", is_staff=True)
    cookie = {"cookie": await sync_to_async(cookies_of)(user)}

    assert (await client.get("/scenarios/allowed/", headers=cookie)).status_code == 200
    assert (await client.post("/scenarios/job/", headers=cookie)).status_code == 403


@pytest.mark.usefixtures("database", "in_production")
async def test_in_production_a_strangers_page_has_no_script(client: httpx.AsyncClient) -> None:
    page = await client.get("/")

    assert page.status_code == 200
    assert "<script" not in page.text
    assert "The stack" in page.text


@pytest.mark.usefixtures("database", "in_production")
async def test_in_production_a_strangers_websocket_is_refused_as_on_an_unknown_path(
    running: ASGIApp,
) -> None:
    refusals = []
    for path in ("/ws/live/", "/ws/unknown/"):
        with pytest.raises(HandshakeRefused) as refusal:
            async with websocket(running, path):
                pass
        refusals.append(str(refusal.value))

    assert refusals[0] == refusals[1]


@pytest.mark.usefixtures("database", "in_production")
async def test_in_production_staff_may_watch_the_live_view(running: ASGIApp) -> None:
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
