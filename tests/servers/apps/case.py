"""Async tests of Django's TestCase, each in a transaction, that call the whole application.

    python -m django test tests.servers.apps.case --settings tests.servers.apps.case_settings

Set the environment variable ARM to "plain" for Django and Channels alone, or to "pooled". The
tests are numbered in the order in which they run, because a later one finds what an earlier one
has broken.
"""

# ruff: noqa: PT009 -- Django runs these tests, and its assertions show what differs

import os
from collections.abc import AsyncGenerator, Callable
from functools import partial
from typing import Any, cast

from asgiref.sync import sync_to_async
from channels.consumer import AsyncConsumer, SyncConsumer  # type: ignore[import-untyped]
from channels.exceptions import StopConsumer  # type: ignore[import-untyped]
from django.contrib.auth.models import Group
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import TestCase
from django.urls import path

from asgi_middleware import LifespanMiddleware, ThreadPool, ThreadPoolMiddleware, compose
from asgi_middleware.testing import lifespan, recording, request, websocket
from asgi_middleware.types import ASGIApp, Receive, Scope, Send


def names() -> str:
    return "+".join(group.name for group in Group.objects.order_by("name"))


def sync_view(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(names())


async def async_view(_request: HttpRequest) -> HttpResponse:
    return HttpResponse("+".join([group.name async for group in Group.objects.order_by("name")]))


async def async_stream(_request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncGenerator[str]:
        yield await sync_to_async(names)()

    return StreamingHttpResponse(parts())


class Async(AsyncConsumer):  # type: ignore[misc]
    async def websocket_connect(self, message: object) -> None:
        await self.send({"type": "websocket.accept"})
        await self.send({"type": "websocket.send", "text": await sync_to_async(names)()})

    async def websocket_disconnect(self, message: object) -> None:
        raise StopConsumer


class Sync(SyncConsumer):  # type: ignore[misc]
    def websocket_connect(self, message: object) -> None:
        self.send({"type": "websocket.accept"})
        self.send({"type": "websocket.send", "text": names()})

    def websocket_disconnect(self, message: object) -> None:
        raise StopConsumer


urlpatterns = [
    path("sync-view/", sync_view),
    path("async-view/", async_view),
    path("async-stream/", async_stream),
]
PAGES = ["/sync-view/", "/async-view/", "/async-stream/"]
SOCKETS = ["/async/", "/sync/"]

django = recording(get_asgi_application())
consumers: dict[str, ASGIApp] = {
    "/async/": cast("Any", Async).as_asgi(),
    "/sync/": cast("Any", Sync).as_asgi(),
}


async def by_type(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        raise ValueError("no lifespan here, as in Django")
    app = django if scope["type"] == "http" else consumers[scope["path"]]
    await app(scope, receive, send)


pool = ThreadPool(size=2, max_overflow=0)
layers: list[Callable[[ASGIApp], ASGIApp]] = [partial(LifespanMiddleware, lifespan=[pool])]
if os.environ["ARM"] == "pooled":
    layers.append(partial(ThreadPoolMiddleware, pool=pool))
application = compose(*layers)(by_type)


async def seen() -> set[str]:
    """Return what the pages and the consumers see: a single item if all see the same."""
    found: set[str] = set()
    async with lifespan(application) as running:
        for target in PAGES:
            found.add((await request(running, target=target)).text)
        for target in SOCKETS:
            async with websocket(running, target) as socket:
                found.add(str(await socket.receive()))
    return found


class RowsOfATest(TestCase):
    async def test_1_requests_see_the_rows_of_their_test(self) -> None:
        await Group.objects.acreate(name="first")

        self.assertEqual(await seen(), {"first"})

    async def test_2_rows_are_still_there_after_requests(self) -> None:
        await Group.objects.acreate(name="second")
        await seen()

        self.assertEqual([group.name async for group in Group.objects.all()], ["second"])

    async def test_3_rows_of_earlier_tests_are_gone(self) -> None:
        self.assertEqual(await seen(), {""})

    def test_4_a_sync_test_sees_only_its_own_rows(self) -> None:
        Group.objects.create(name="fourth")

        self.assertEqual(names(), "fourth")
