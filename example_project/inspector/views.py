"""The page, and views that each show one thing."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import asdict
from typing import Any

import httpx
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    JsonResponse,
    StreamingHttpResponse,
)
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from asgi_middleware import get_request_id, get_state, measure, outgoing_headers

from .live.access import may_watch
from .own_url import own_url
from .scenarios.table import SCENARIOS
from .stack import LAYERS

logger = logging.getLogger(__name__)


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """Show the page."""
    context = {
        "request_id": get_request_id(),
        "layers": LAYERS,
        # Only for visitors who may watch, and only behind the layers.
        "live": "live" in _state() and may_watch(request.user),
        "scenarios": SCENARIOS,
        "table": [asdict(scenario) for scenario in SCENARIOS],
    }
    with measure("render"):
        return render(request, "inspector/home.html", context)


@require_POST
def uploads(request: HttpRequest) -> JsonResponse:
    """Return the size and the checksum of an uploaded file. The file is not kept."""
    file = request.FILES.get("file")
    if file is None:
        return JsonResponse({"detail": "Send a file in the field 'file'."}, status=400)
    checksum = hashlib.sha256()
    with measure("read"):
        for chunk in file.chunks():
            checksum.update(chunk)
    return JsonResponse({"size": file.size, "sha256": checksum.hexdigest()})


@require_GET
async def ticks(request: HttpRequest) -> StreamingHttpResponse:  # noqa: ARG001
    """Stream one server-sent event a second, forever.

    When the process must stop, ``Drain`` sends this view a disconnect, as if the client had left.
    """
    ticker = _opened("ticker")

    async def events() -> AsyncGenerator[str]:
        try:
            tick = ticker.count
            while True:
                yield f"data: {tick}\n\n"
                tick = await ticker.next()
        finally:
            logger.info("closed: the stream of ticks")

    # Proxies should pass on each event at once. nginx reads the second header.
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingHttpResponse(events(), content_type="text/event-stream", headers=headers)


@require_GET
async def outgoing(request: HttpRequest) -> JsonResponse:
    """Call another service, and return its response.

    The other service is /echo/ on this same server, so that the example works offline.
    """
    client = _opened("client")
    url = own_url(request, "/echo/")
    try:
        with measure("echo"):
            response = await client.get(url, headers=outgoing_headers())
        response.raise_for_status()
    except httpx.HTTPError as error:
        logger.warning("the call to %s failed: %r", url, error)
        return JsonResponse({"detail": "The other service did not respond."}, status=502)
    return JsonResponse({"request_id": get_request_id(), "response": response.json()})


@require_GET
def fail(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 -- every view takes it
    """Raise an exception, so that you can see what happens to it."""
    raise RuntimeError("raised on purpose, by the view /fail/")


@require_GET
async def late(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Take longer than asgi.py allows."""
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        logger.info("cancelled: the view that is too late")
        raise
    return HttpResponse("In time.\n")


def _state() -> dict[str, Any]:
    """Return what startup opened. Under WSGI there is no startup, so it is empty."""
    try:
        return get_state()
    except LookupError:
        return {}


def _opened(name: str) -> Any:
    try:
        return get_state()[name]
    except LookupError:
        raise Http404(f"Startup has not opened the {name}.") from None
