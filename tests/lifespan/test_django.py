"""Django's own handler at the end of a process: it still closes every response."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.core.signals import request_finished
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path

from asgi_middleware import Drain, LifespanMiddleware
from asgi_middleware.testing import Response, recording, request

from .server import STOPPED, Handler, Server, context, forever, until

log: list[str] = []


class Stream(StreamingHttpResponse):
    def close(self) -> None:
        log.append("response closed")
        super().close()


async def stream(_request: HttpRequest) -> Stream:
    async def parts() -> AsyncGenerator[str]:
        try:
            yield "data: 1\n\n"
            log.append("streaming")
            await forever()
        finally:
            log.append("generator ended")

    return Stream(parts(), content_type="text/event-stream")


async def slow(_request: HttpRequest) -> HttpResponse:
    log.append("streaming")
    try:
        await forever()
    finally:
        log.append("view ended")
    return HttpResponse("too late")


urlpatterns = [path("stream", stream), path("slow", slow)]


async def drained(target: str) -> Response:
    """Return the response to a request that is open when the process gets SIGTERM."""
    log.clear()
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[], ALLOWED_HOSTS=["*"]):
        # Recorded, because a recorded app may spell header names in mixed case.
        app = LifespanMiddleware(
            recording(get_asgi_application()),
            lifespan=[context("pool", log)],
            drain=Drain(grace=0.05),
        )
        server = Server(app)
        await server.start()
        call = asyncio.ensure_future(request(app, target=target))
        await until(lambda: "streaming" in log)
        os.kill(os.getpid(), signal.SIGTERM)
        assert await server.stop() == STOPPED
        return await call


@pytest.fixture(autouse=True)
def _signals() -> Any:
    def finished(**_: object) -> None:
        log.append("request_finished")

    request_finished.connect(finished)
    yield
    request_finished.disconnect(finished)


async def test_a_stream_ends_complete_and_cleaned_up(handler: Handler) -> None:
    response = await drained("/stream")

    assert response.complete
    assert response.text == "data: 1\n\n"
    assert log == [
        "+pool",
        "streaming",
        "generator ended",
        "response closed",
        "request_finished",
        "-pool",
    ]


async def test_an_async_view_is_cancelled_by_django_and_its_client_gets_a_503(
    handler: Handler,
) -> None:
    response = await drained("/slow")

    assert response.status == 503
    assert log == ["+pool", "streaming", "view ended", "request_finished", "-pool"]


async def test_neither_the_server_nor_django_complains_about_lifespan(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    server = Server(LifespanMiddleware(get_asgi_application()))

    await server.start()
    await server.stop()

    assert caplog.messages == []
    assert server.task.exception() is None
