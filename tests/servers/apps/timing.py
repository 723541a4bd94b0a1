"""A Django project in one file, with views that wait, so that a client can leave in the middle.

It prints a line when a view is reached, when Django receives a disconnect, and for each record.
Its WebSockets end during the handshake, each path in its own way. Like a new project, it does not
configure logging.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from prometheus_client import CollectorRegistry, generate_latest

from asgi_middleware import AccessLog, PrometheusMetrics, TimingMiddleware
from asgi_middleware.timing import RequestTiming
from asgi_middleware.types import Message, Receive, Scope, Send

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    MIDDLEWARE=["asgi_middleware.django.route_middleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
    USE_TZ=True,
)

registry = CollectorRegistry()
released = threading.Event()


async def waiting_async(request: HttpRequest) -> HttpResponse:
    print(f"reached {request.path}")
    await asyncio.Event().wait()
    raise AssertionError


def waiting_sync(request: HttpRequest) -> HttpResponse:
    released.clear()
    print(f"reached {request.path}")
    released.wait(60)
    return HttpResponse("too late")


async def waiting_stream(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        print(f"reached {request.path}")
        await asyncio.Event().wait()

    return StreamingHttpResponse(parts())


async def release(request: HttpRequest) -> HttpResponse:
    released.set()
    return HttpResponse()


async def metrics(request: HttpRequest) -> HttpResponse:
    return HttpResponse(generate_latest(registry))


urlpatterns = [
    path("waiting/async/", waiting_async),
    path("waiting/sync/", waiting_sync),
    path("waiting/stream/", waiting_stream),
    path("release/", release),
    path("metrics/", metrics),
]


def printed(record: Any) -> None:
    fields = ("outcome", "status", "route")
    kind = "record" if isinstance(record, RequestTiming) else record.scope["path"]
    said = json.dumps({name: getattr(record, name) for name in fields})
    # In a single write, because the test reads the log meanwhile.
    print(f"{kind} {said}\n", end="")


django_application = get_asgi_application()


async def listening_django(scope: Scope, receive: Receive, send: Send) -> None:
    """Call Django, and print a line when it receives a disconnect."""

    async def listening() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            print(f"disconnect at {scope['path']}")
        return message

    await django_application(scope, listening, send)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def handshakes(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    match scope["path"]:
        case "/ws/close/":
            await send({"type": "websocket.close", "code": 4001})
        case "/ws/deny/":
            await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
            await send({"type": "websocket.http.response.body", "body": b"no"})
        case "/ws/raise/":
            raise KeyError("mine")
        case "/ws/leave/":
            print("reached /ws/leave/")
            await receive()
        case _:
            pass


async def served(scope: Scope, receive: Receive, send: Send) -> None:
    app = handshakes if scope["type"] == "websocket" else listening_django
    await app(scope, receive, send)


timed = TimingMiddleware(served, observers=[printed, PrometheusMetrics(registry), AccessLog()])


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    # Django does not support lifespan, and servers handle its exception in different ways.
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
    else:
        await timed(scope, receive, send)
