"""Pages that show what Django does with a request. Tests pass them objects in the scope."""

import asyncio
import threading
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.utils.cache import patch_vary_headers

from asgi_middleware import current_timing, get_request_id, measure

set_by_a_view: ContextVar[bool] = ContextVar("set_by_a_view", default=False)


class Visit:
    """How far a request has got, and an event that lets it go on."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self.let_go = asyncio.Event()
        self.ended = asyncio.Event()
        self.cancelled = False
        self.closed = False

    async def wait(self) -> None:
        self.waits.set()
        try:
            await self.let_go.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.ended.set()


class Page(HttpResponse):
    """A response that tells its visit when Django closes it."""

    visit: Visit

    def close(self) -> None:
        super().close()
        self.visit.closed = True


class Stream(StreamingHttpResponse):
    """A streaming response that tells its visit when Django closes it."""

    visit: Visit

    def close(self) -> None:
        super().close()
        self.visit.closed = True


def state(request: HttpRequest) -> dict[str, Any]:
    # Only requests that came through ASGI have this attribute.
    return cast("dict[str, Any]", cast("Any", request).scope["state"])


def varied(request: HttpRequest) -> HttpResponse:
    response = HttpResponse("text")
    response.set_cookie("a", "1")
    patch_vary_headers(response, ["Cookie"])
    return response


async def waiting(request: HttpRequest) -> HttpResponse:
    """Wait, then respond."""
    response = Page("late")
    response.visit = state(request)["visit"]
    await response.visit.wait()
    return response


async def streaming(request: HttpRequest) -> StreamingHttpResponse:
    """Send a part, then wait."""
    visit: Visit = state(request)["visit"]

    async def parts() -> AsyncGenerator[bytes]:
        yield b"first"
        await visit.wait()
        yield b"late"

    response = Stream(parts())
    response.visit = visit
    return response


def leaving_sync(request: HttpRequest) -> HttpResponse:
    """Set a context variable, and put a value into an object from the scope."""
    set_by_a_view.set(True)
    state(request)["box"].append("from the view")
    return HttpResponse()


async def leaving_async(request: HttpRequest) -> HttpResponse:
    return leaving_sync(request)


def in_thread(request: HttpRequest) -> HttpResponse:
    state(request)["threads"].append(threading.current_thread())
    return HttpResponse()


def seen_sync(request: HttpRequest) -> HttpResponse:
    """Show what the stack around Django gives a view."""
    with measure("view"):
        record = current_timing()
    return JsonResponse(
        {
            "get_request_id": get_request_id(),
            "state": state(request)["request_id"],
            "header": request.headers["X-Request-ID"],
            "timing": record is state(request)["timing"],
            "from_startup": state(request)["opened"],
        }
    )


async def seen_async(request: HttpRequest) -> HttpResponse:
    return seen_sync(request)


urlpatterns = [
    path("varied/", varied),
    path("waiting/", waiting),
    path("streaming/", streaming),
    path("leaving/sync/", leaving_sync),
    path("leaving/async/", leaving_async),
    path("in-thread/", in_thread),
    path("seen/sync/", seen_sync),
    path("seen/async/", seen_async),
]
