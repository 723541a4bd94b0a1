"""Where every connection enters: HTTP, WebSocket, and the server's start and stop.

    uvicorn example_project.asgi:application

DJANGO_ENV chooses the settings (``environment.py``). A request meets the layers of
``middleware`` from the top down, then Django (``urls.py``) or a consumer of Channels
(``showcase/routing.py``).
"""
# ruff: noqa: E402 -- what uses models can be imported only once Django is set up.

from functools import partial
from operator import attrgetter

from django.core.asgi import get_asgi_application

from .environment import choose_settings

choose_settings()
django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler

from asgi_middleware import (
    AccessLog,
    CORSMiddleware,
    LifespanMiddleware,
    PrometheusMetrics,
    RequestIDMiddleware,
    TimingMiddleware,
    WebSocketOriginMiddleware,
    compose,
)
from asgi_middleware.django import time_database_queries

from .lifespan import gauges, uptime
from .showcase.routing import websocket_urlpatterns

if settings.DEBUG:
    # In production a web server or a CDN has these files.
    django_application = ASGIStaticFilesHandler(django_application)

time_database_queries()

middleware = compose(
    # Outermost, so that all that is logged or answered further in carries the ID.
    RequestIDMiddleware,
    # Outside whatever answers in Django's place, so that it measures what the client gets.
    partial(
        TimingMiddleware,
        observers=[AccessLog(skip_paths=["/metrics"]), PrometheusMetrics()],
        # If not to everybody, to those whom middleware.py marks.
        server_timing=settings.SERVER_TIMING or attrgetter("expose"),
    ),
    # Outside whatever may refuse a request, so that a page of another origin can read why.
    partial(
        CORSMiddleware,
        allow_origins=settings.CORS_ALLOWED_ORIGINS,
        allow_methods=["GET", "POST"],
        allow_headers=["content-type", "x-csrftoken", "x-request-id"],
        expose_headers=["x-request-id"],
    ),
    # Next to the app: what is opened here, at start-up, is there for views and consumers.
    partial(LifespanMiddleware, lifespan=[uptime, gauges]),
)

application = middleware(
    ProtocolTypeRouter(
        {
            "http": django_application,
            # Any page may open a WebSocket, with its visitor's cookies; only ours gets in.
            # Outside the session, so that a stranger costs no look into the database.
            "websocket": WebSocketOriginMiddleware(
                AuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
                allow_origins=["same-origin", *settings.CORS_ALLOWED_ORIGINS],
                allow_missing=settings.DEBUG,
                allowed_hosts=settings.ALLOWED_HOSTS,
            ),
        }
    )
)
