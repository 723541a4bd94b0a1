"""An app behind both limits that reads bodies, is late at /late/, and has Django at /django/."""

import asyncio
import json
import logging
import tempfile
from functools import partial
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.handlers import asgi
from django.http import HttpRequest, HttpResponse
from django.urls import path

from asgi_middleware import (
    RequestBodyLimitMiddleware,
    RequestTimeoutMiddleware,
    TimingMiddleware,
    compose,
)
from asgi_middleware.types import ASGIApp, Message, Receive, Scope, Send
from tests.servers.limits import MAX_BODY_SIZE

# Longer than a client needs to send the next part, even on a busy machine.
PAUSE = 5.0
TIMEOUT = 0.3


settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1"],
    MIDDLEWARE=[
        "django.middleware.common.CommonMiddleware",
        "django.middleware.csrf.CsrfViewMiddleware",
    ],
    SECRET_KEY="tests",
    LOGGING_CONFIG=None,
)
# Django logs a forbidden Host with a traceback, and a test checks that the log has none.
logging.getLogger("django").setLevel(logging.CRITICAL)
django.setup(set_prefix=False)


def protected(request: HttpRequest) -> HttpResponse:
    return HttpResponse("posted")


urlpatterns = [path("django/protected/", protected)]
django_application: ASGIApp = get_asgi_application()
# The requests and bytes that have reached Django, and the bodies that it has moved to the disk.
counts = {"requests": 0, "bytes": 0, "files": 0}


class Spooled(tempfile.SpooledTemporaryFile[bytes]):
    def rollover(self) -> None:
        counts["files"] += 1
        super().rollover()


asgi.tempfile.SpooledTemporaryFile = Spooled  # type: ignore[attr-defined]


async def counted_django(scope: Scope, receive: Receive, send: Send) -> None:
    counts["requests"] += 1

    async def counting() -> Message:
        message = await receive()
        counts["bytes"] += len(message.get("body", b""))
        return message

    await django_application(scope, counting, send)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Respond with the size of the body; at /late/, a minute later, unless the client leaves."""
    if scope["type"] != "http":
        return
    if scope["path"].startswith("/django/"):
        await counted_django(scope, receive, send)
        return
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    if scope["path"] == "/late/":
        leaving = asyncio.ensure_future(receive())
        await asyncio.wait({leaving}, timeout=60)
        if leaving.done():
            return
        leaving.cancel()
    answer: Any = counts if scope["path"] == "/counts/" else size
    body = json.dumps(answer).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


application = compose(
    TimingMiddleware,
    partial(
        RequestBodyLimitMiddleware,
        max_body_size=MAX_BODY_SIZE,
        timeout=PAUSE,
        min_rate=1000,
    ),
    partial(RequestTimeoutMiddleware, timeout=60.0, paths={"/late/": TIMEOUT}),
)(app)
