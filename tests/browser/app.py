"""A Django project behind the layers, for pages of two origins: a fixture, not an example.

It listens on one port, which PAGES_PORT names. Pages of ``http://localhost`` may read its
responses from both hosts. Pages of ``http://127.0.0.1`` may read only those of their own origin.
"""

import os
from functools import partial

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from asgi_middleware import (
    CORSMiddleware,
    RequestIDMiddleware,
    TimingMiddleware,
    WebSocketOriginMiddleware,
    compose,
)
from asgi_middleware.types import ASGIApp, Receive, Scope, Send
from tests.apps import echo, lives

from . import sites

if not os.environ.get("PAGES_PORT"):
    raise ImproperlyConfigured("set PAGES_PORT to the port that the server listens on")
ALLOWED = f"http://localhost:{os.environ['PAGES_PORT']}"

settings.configure(
    ALLOWED_HOSTS=["localhost", "127.0.0.1"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests",
)


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse("<!doctype html><title>A page</title>")


def show(request: HttpRequest) -> JsonResponse:
    """Return what arrived."""
    return JsonResponse(
        {
            "method": request.method,
            "content_type": request.content_type,
            "body": request.body.decode(),
            "x_note": request.headers.get("x-note"),
            "cookies": request.COOKIES,
        },
        headers={"X-Hidden": "not exposed"},
    )


def sign_in(request: HttpRequest) -> HttpResponse:
    """Set a cookie with the attributes that the query has."""
    return HttpResponse(headers={"Set-Cookie": f"session=me; Path=/; {request.GET['attributes']}"})


def fail(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("this view fails")


urlpatterns = [
    path("", page),
    path("show/", show),
    path("sign-in/", sign_in),
    path("fail/", fail),
    path("bare/show/", show),
]

django_application: ASGIApp = get_asgi_application()


async def failing_layer(scope: Scope, receive: Receive, send: Send) -> None:
    """A layer around Django that can fail before Django responds."""
    if scope["path"].endswith("/layer-fails/"):
        raise RuntimeError("this layer fails")
    await django_application(scope, receive, send)


cors = partial(
    CORSMiddleware,
    allow_origins=[ALLOWED],
    allow_methods=["GET", "POST", "PUT", "DELETE"],
    allow_headers=["content-type", "x-note"],
    allow_credentials=True,
    expose_headers=["server-timing", "x-request-id"],
)
timing = partial(TimingMiddleware, server_timing=True)

pages = compose(RequestIDMiddleware, partial(timing, timing_allow_origin=[ALLOWED]), cors)(
    failing_layer
)
# Without timing_allow_origin and error_responses, to show what they are for.
bare_pages = compose(timing, partial(cors, error_responses=False))(failing_layer)
other_sites = sites.application(ALLOWED)

own_sockets = WebSocketOriginMiddleware(echo)
listed_sockets = WebSocketOriginMiddleware(echo, allow_origins=[ALLOWED])
forwarded_sockets = WebSocketOriginMiddleware(
    echo, trusted_host_header="x-forwarded-host", trusted=["127.0.0.1"]
)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    chosen: ASGIApp
    match scope["type"], scope.get("path", "").split("/")[1:]:
        case "lifespan", _:
            chosen = lives
        case "websocket", ["listed", *_]:
            chosen = listed_sockets
        case "websocket", ["forwarded", *_]:
            chosen = forwarded_sockets
        case "websocket", _:
            chosen = own_sockets
        case _, ["sites", *_]:
            chosen = other_sites
        case _, ["bare", *_]:
            chosen = bare_pages
        case _:
            chosen = pages
    await chosen(scope, receive, send)
