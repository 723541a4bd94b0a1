"""Views that are still running when the process is told to end."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer  # type: ignore[import-untyped]
from django.core.signals import request_finished, request_started
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

from .log import say
from .settings import BODY

# The slow views wait until this file exists. Without the variable, it is the current folder, so
# they do not wait.
HELD = Path(os.environ.get("HELD", ""))


def started(**_: object) -> None:
    say("request_started")


def finished(**_: object) -> None:
    say("request_finished")


request_started.connect(started)
request_finished.connect(finished)


class Stream(StreamingHttpResponse):
    def close(self) -> None:
        say("stream: close()")
        super().close()


async def stream(_request: HttpRequest) -> Stream:
    """Stream until the client leaves."""

    async def events() -> AsyncGenerator[str]:
        try:
            yield f"data: {os.getpid()}\n\n"
            say("stream: begun")
            await asyncio.Event().wait()
        finally:
            say("stream: finally")

    return Stream(events(), content_type="text/event-stream")


async def slow(_request: HttpRequest) -> HttpResponse:
    say("slow: begun")
    while not HELD.exists():  # noqa: ASYNC110, ASYNC240 -- the test makes it
        await asyncio.sleep(0.02)
    return HttpResponse(BODY)


def slow_sync(_request: HttpRequest) -> HttpResponse:
    say("slow-sync: begun")
    while not HELD.exists():
        time.sleep(0.02)
    return HttpResponse(BODY)


async def state(request: Any) -> JsonResponse:
    opened = request.scope["state"]
    return JsonResponse(
        {
            "opened here": opened["opened_in"] == os.getpid(),
            "handlers": [opened["handlers_at_start_up"], handlers()],
        }
    )


def handlers() -> list[str]:
    """Return the handlers of the signals that end a process."""
    return [repr(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM)]


class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    async def connect(self) -> None:
        await self.accept()
        say("websocket: begun")

    async def disconnect(self, code: int) -> None:
        say("websocket: disconnect()")


urlpatterns = [
    path("stream", stream),
    path("slow", slow),
    path("slow-sync", slow_sync),
    path("state", state),
]
