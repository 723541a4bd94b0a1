"""The views that the scenarios request. For visitors who may not watch, they do not exist."""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncGenerator
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
from django.http import (
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import render
from django.views.decorators.clickjacking import xframe_options_sameorigin
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from asgi_middleware import get_request_id, get_state, get_tasks, measure

from ..live.access import for_watchers
from ..live.publisher import PROCESS
from ..own_url import own_url
from .child import PATIENCE, child_server
from .jobs import count

logger = logging.getLogger(__name__)

COOKIE = "demonstration"
CALLS = 40
# The bound of the pool in the project's asgi.py: size + max_overflow.
BOUND = 16

# One at a time: each starts a process.
_draining = asyncio.Lock()


@for_watchers("GET", "POST", cross_origin=True)
async def allowed(request: HttpRequest, new: object = None) -> JsonResponse:  # noqa: ARG001
    """Return whether the cookie was sent. A POST of JSON to this view needs a preflight.

    Browsers cache preflights by URL, so a *new* URL makes them send another preflight.
    """
    return JsonResponse({"request_id": get_request_id(), "cookie": COOKIE in request.COOKIES})


@for_watchers("POST", cross_origin=True)
async def cookie(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 -- every view takes it
    """Set a cross-site cookie for half a minute. It gives access to nothing."""
    # Browsers accept SameSite=None only with Secure, and from localhost they accept Secure
    # without TLS. Partitioned ties the cookie to the page's site, so browsers that block
    # third-party cookies accept it too. set_cookie() has no argument for Partitioned.
    attributes = "Max-Age=30; Path=/; Secure; HttpOnly; SameSite=None; Partitioned"
    return HttpResponse(status=204, headers={"Set-Cookie": f"{COOKIE}=1; {attributes}"})


@for_watchers("GET")
async def slow(request: HttpRequest) -> JsonResponse:  # noqa: ARG001
    """Wait for a second, without a thread."""
    with measure("wait"):
        await asyncio.sleep(1)
    return JsonResponse({"request_id": get_request_id()})


@for_watchers("GET")
async def stream(request: HttpRequest) -> StreamingHttpResponse:  # noqa: ARG001
    """Stream five lines, a quarter of a second apart."""

    async def lines() -> AsyncGenerator[str]:
        try:
            for number in range(1, 6):
                yield f"line {number}\n"
                await asyncio.sleep(0.25)
        finally:
            logger.info("closed: the stream of lines")

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingHttpResponse(lines(), content_type="text/plain", headers=headers)


@for_watchers("GET")
def blocking(request: HttpRequest) -> JsonResponse:  # noqa: ARG001
    """Hold a thread for a fifth of a second, as sync code does while it waits."""
    started = time.monotonic()
    with measure("block"):
        time.sleep(0.2)
    span = {"process": PROCESS, "started": started, "ended": time.monotonic()}
    return JsonResponse({"request_id": get_request_id(), **span})


@for_watchers("POST")
async def burst(request: HttpRequest) -> JsonResponse:
    """Call the view above many times at once, and count the calls that run at the same time."""
    client: httpx.AsyncClient = get_state()["client"]
    url = own_url(request, "/scenarios/blocking/")
    headers = _passed_on(request) | {"cookie": request.headers.get("cookie", "")}
    responses = await asyncio.gather(*(client.get(url, headers=headers) for _ in range(CALLS)))
    spans = [each.json() for each in responses if each.status_code == 200]
    return JsonResponse({"responses": len(spans), "at_work": _most_at_once(spans), "bound": BOUND})


@for_watchers("POST")
async def job(request: HttpRequest) -> JsonResponse:  # noqa: ARG001
    """Start a job in the background, and respond at once."""
    name = uuid4().hex
    get_tasks().spawn(partial(count, name, get_request_id()), name=f"job {name}", restart="never")
    return JsonResponse({"job": name}, status=202)


@for_watchers("POST")
async def drain(request: HttpRequest) -> JsonResponse:
    """Stop a child server while a stream and a WebSocket are open, and return how they end."""
    if _draining.locked():
        return JsonResponse(
            {"detail": "Another child server is being stopped. Try again later."}, status=409
        )
    async with _draining, child_server() as (url, process):
        origin: Any = url
        async with (
            httpx.AsyncClient(
                timeout=PATIENCE, trust_env=False, headers=_passed_on(request)
            ) as client,
            client.stream("GET", f"{url}/ticks/") as ticks,
            connect(f"ws{url.removeprefix('http')}/ws/echo/", origin=origin, proxy=None) as socket,
        ):
            await socket.recv()
            lines = ticks.aiter_lines()
            await anext(lines)
            process.send_signal(signal.SIGTERM)
            seen = await asyncio.gather(_is_complete(lines), _close_code(socket), process.wait())
    complete, code, _ = seen
    return JsonResponse({"stream_complete": complete, "websocket_close": code})


# The page puts this one in a sandboxed frame, where it has no origin: it is a stranger's page.
@xframe_options_sameorigin
@for_watchers("GET")
def stranger(request: HttpRequest) -> HttpResponse:
    return render(request, "inspector/stranger.html")


def _passed_on(request: HttpRequest) -> dict[str, str]:
    """Return headers that make a call to this machine look like one to the visitor's host."""
    return {"host": request.get_host(), "x-forwarded-proto": request.scheme or "http"}


def _most_at_once(spans: list[dict[str, Any]]) -> int:
    """Return the largest number of spans that overlap in one process."""

    def overlaps(one: dict[str, Any], other: dict[str, Any]) -> bool:
        is_inside = other["started"] <= one["started"] < other["ended"]
        return is_inside and one["process"] == other["process"]

    return max((sum(overlaps(one, other) for other in spans) for one in spans), default=0)


async def _is_complete(lines: Any) -> bool:
    try:
        async for _ in lines:
            pass
    except httpx.HTTPError:
        return False
    return True


async def _close_code(socket: Any) -> int | None:
    try:
        while True:
            await socket.recv()
    except ConnectionClosed:
        code: int | None = socket.close_code
        return code
