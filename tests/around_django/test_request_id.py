"""Code that Django runs finds the ID of its request, wherever it runs."""

import asyncio
import logging
import random
import re
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.generic.websocket import (  # type: ignore[import-untyped]
    AsyncWebsocketConsumer,
    WebsocketConsumer,
)
from channels.routing import ProtocolTypeRouter, URLRouter  # type: ignore[import-untyped]
from django.core.asgi import get_asgi_application
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from asgi_middleware import RequestIDFilter, RequestIDMiddleware, get_request_id
from asgi_middleware.testing import recording, request, websocket
from asgi_middleware.testing.recording import RecordedApp
from asgi_middleware.types import ASGIApp

logger = logging.getLogger("app")

Seen = list[str | None]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log records, with request IDs."""
    caplog.set_level(logging.DEBUG, logger="app")
    caplog.set_level(logging.DEBUG, logger="asgi_middleware")
    with caplog.filtering(RequestIDFilter()):
        yield caplog


async def a_moment() -> None:
    await asyncio.sleep(random.random() / 100)


async def later(seen: Seen) -> None:
    await a_moment()
    seen.append(get_request_id())


async def everywhere(seen: Seen) -> None:
    """Get the ID in every kind of code that an async view may call."""
    await later(seen)
    await asyncio.create_task(later(seen))
    await asyncio.gather(later(seen), later(seen))
    seen.append(await asyncio.to_thread(get_request_id))
    seen.append(await sync_to_async(get_request_id)())
    seen.append(await sync_to_async(get_request_id, thread_sensitive=False)())


def everywhere_sync(seen: Seen) -> None:
    """Get the ID in every kind of code that a sync view may call."""
    time.sleep(random.random() / 100)
    seen.append(get_request_id())
    async_to_sync(later)(seen)
    thread = threading.Thread(
        target=copy_context().run, args=[lambda: seen.append(get_request_id())]
    )
    thread.start()
    thread.join()


def shown_in_body(seen: Seen) -> HttpResponse:
    return HttpResponse(",".join(map(str, seen)))


def sync_view(request: HttpRequest) -> HttpResponse:
    seen: Seen = []
    everywhere_sync(seen)
    return shown_in_body(seen)


async def async_view(request: HttpRequest) -> HttpResponse:
    seen: Seen = []
    await everywhere(seen)
    return shown_in_body(seen)


def sync_stream(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[str]:
        for _ in range(3):
            time.sleep(random.random() / 100)
            yield f"{get_request_id()},"

    return StreamingHttpResponse(parts())


async def async_stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncGenerator[str]:
        for _ in range(3):
            await a_moment()
            yield f"{get_request_id()},"

    return StreamingHttpResponse(parts())


def shown(request: ASGIRequest) -> HttpResponse:
    """Show the ID in every place where Django has it."""
    logger.info("hello")
    return JsonResponse(
        [
            get_request_id(),
            request.headers["X-Request-ID"],
            request.META["HTTP_X_REQUEST_ID"],
            request.scope["state"]["request_id"],
        ],
        safe=False,
    )


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("asked to fail")


urlpatterns = [
    path("broken/", broken),
    path("sync/", sync_view),
    path("async/", async_view),
    path("sync-stream/", sync_stream),
    path("async-stream/", async_stream),
    path("shown/", shown),
]


class AsyncConsumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        seen: Seen = []
        await everywhere(seen)
        await self.send(",".join(map(str, seen)))


class SyncConsumer(WebsocketConsumer):  # type: ignore[misc]
    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        seen: Seen = []
        everywhere_sync(seen)
        self.send(",".join(map(str, seen)))


@pytest.fixture
def application(bare_django: RecordedApp) -> Iterator[ASGIApp]:
    async_consumer: Any = AsyncConsumer.as_asgi()
    sync_consumer: Any = SyncConsumer.as_asgi()
    consumers = [
        path("async-consumer/", async_consumer),
        path("sync-consumer/", sync_consumer),
    ]
    router = ProtocolTypeRouter({"http": bare_django, "websocket": URLRouter(consumers)})
    with override_settings(ROOT_URLCONF=__name__):
        yield RequestIDMiddleware(router)


Ask = Callable[[ASGIApp, str, dict[str, str]], Awaitable[tuple[bytes | None, str]]]


async def over_http(app: ASGIApp, target: str, headers: dict[str, str]) -> tuple[bytes | None, str]:
    response = await request(app, target=target, headers=headers, timeout=60)
    return response.get(b"x-request-id"), response.body.decode()


async def over_websocket(
    app: ASGIApp, target: str, headers: dict[str, str]
) -> tuple[bytes | None, str]:
    async with websocket(app, target, headers=headers, timeout=60) as socket:
        await socket.send("go")
        text = await socket.receive()
        assert isinstance(text, str)
        return dict(socket.headers)[b"x-request-id"], text


KINDS: list[tuple[Ask, str]] = [
    (over_http, "/sync/"),
    (over_http, "/async/"),
    (over_http, "/sync-stream/"),
    (over_http, "/async-stream/"),
    (over_websocket, "/async-consumer/"),
    (over_websocket, "/sync-consumer/"),
]


@pytest.mark.filterwarnings(
    # Django warns about sync streams under ASGI. That does not matter here.
    "ignore:StreamingHttpResponse must consume synchronous iterators:Warning"
)
async def test_a_hundred_requests_at_once_see_their_own_ids(application: ASGIApp) -> None:
    async def seen_by(number: int) -> tuple[str, set[str]]:
        ask, target = KINDS[number % len(KINDS)]
        headers = {} if number % 2 else {"x-request-id": f"id-{number}"}
        request_id, text = await ask(application, target, headers)
        return (request_id or b"").decode(), set(text.rstrip(",").split(","))

    ids = await asyncio.gather(*(seen_by(number) for number in range(102)))

    assert all(seen == {request_id} for request_id, seen in ids)
    assert len({request_id for request_id, _ in ids}) == 102
    assert get_request_id() is None


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        pytest.param("/async/", "testserver", 200, id="page"),
        pytest.param("/missing/", "testserver", 404, id="missing page"),
        pytest.param("/broken/", "testserver", 500, id="view that raises"),
        pytest.param("/async/", "not valid", 400, id="request that Django refuses"),
    ],
)
async def test_each_response_of_django_has_the_id(
    target: str, host: str, status: int, bare_django: RecordedApp
) -> None:
    headers = {"host": host, "x-request-id": "abc"}
    # CommonMiddleware asks for the host.
    stock = ["django.middleware.common.CommonMiddleware"]
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=stock):
        application = RequestIDMiddleware(recording(get_asgi_application()))
        response = await request(application, target=target, headers=headers)

    assert (response.status, response.getall(b"x-request-id")) == (status, [b"abc"])


async def test_djangos_log_lines_about_a_request_have_its_id(
    application: ASGIApp, lines: pytest.LogCaptureFixture
) -> None:
    await request(application, target="/missing/", headers={"x-request-id": "abc"})

    [line] = [record for record in lines.records if record.name == "django.request"]
    assert (line.getMessage(), line.__dict__["request_id"]) == ("Not Found: /missing/", "abc")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(b"", b"", id="alone"),
        pytest.param(b"", b"b", id="first"),
        pytest.param(b"a", b"", id="last"),
        pytest.param(b"a", b"b", id="within"),
    ],
)
async def test_an_id_reaches_django_only_if_it_is_visible_ascii(
    before: bytes, after: bytes, bare_django: RecordedApp, lines: pytest.LogCaptureFixture
) -> None:
    app = RequestIDMiddleware(bare_django, validator=None)

    for byte in range(256):
        sent = before + bytes([byte]) + after
        lines.clear()
        with override_settings(ROOT_URLCONF=__name__):
            response = await request(app, target="/shown/", headers=[(b"x-request-id", sent)])

        found: set[Any] = {
            *response.json(),
            *(value.decode("latin-1") for value in response.getall(b"x-request-id")),
            *(record.__dict__["request_id"] for record in lines.records),
        }
        assert len(found) == 1
        assert (sent.decode("latin-1") in found) == (0x21 <= byte <= 0x7E)
        assert re.fullmatch(r"[!-~]+", found.pop())
