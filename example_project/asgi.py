"""Where every connection enters: HTTP, WebSocket, and the server's startup and shutdown.

    uvicorn example_project.asgi:application

DJANGO_ENV chooses the settings (``environment.py``). A request passes through the layers of
``middleware`` from top to bottom. Then it reaches Django (``urls.py``), Starlette (``echo.py``)
or a Channels consumer (``showcase/routing.py``).
"""
# ruff: noqa: E402 -- models can be imported only once Django is set up.

from functools import partial
from operator import attrgetter

from django.core.asgi import get_asgi_application

from .environment import choose_settings

choose_settings()
django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings

from asgi_middleware import (
    AccessLog,
    CORSMiddleware,
    Drain,
    HealthMiddleware,
    LifespanMiddleware,
    PrometheusMetrics,
    Readiness,
    RequestIDMiddleware,
    ThreadPool,
    ThreadPoolMiddleware,
    TimingMiddleware,
    WebSocketOriginMiddleware,
    compose,
)
from asgi_middleware.django import time_database_queries
from asgi_middleware.types import Receive, Scope, Send

from .checks import checks
from .echo import echo
from .lifespan import client, gauges, ticker, uptime, worker_check
from .live.feed import Feed
from .live.publisher import Publisher
from .live.sent import SentHeadersMiddleware
from .showcase.routing import websocket_urlpatterns

time_database_queries()

# Startup and shutdown set it, and /readyz reports it.
readiness = Readiness()
# The threads for sync views, sync middleware and the ORM.
pool = ThreadPool(size=8, max_overflow=8)
# The events that the page shows.
feed = Feed()

middleware = compose(
    # Outermost: probes have no Host that Django allows, and they are neither logged nor counted.
    partial(HealthMiddleware, readiness=readiness, checks=checks),
    # The project's own. Outside the layers that add headers, so that it sees what the client gets.
    SentHeadersMiddleware,
    # Outside the rest, so that everything that they log or send has the ID.
    RequestIDMiddleware,
    # Outside the layers that may respond in Django's place: it measures what the client gets.
    partial(
        TimingMiddleware,
        observers=[AccessLog(skip_paths=["/metrics"]), PrometheusMetrics(), feed],
        # If not for everybody, then for the requests that middleware.py marks.
        server_timing=settings.SERVER_TIMING or attrgetter("expose"),
    ),
    # Outside the layers that may refuse a request, so that a page of another origin can read why.
    partial(
        CORSMiddleware,
        allow_origins=settings.CORS_ALLOWED_ORIGINS,
        allow_credentials=settings.CORS_ALLOW_CREDENTIALS,
        allow_methods=["GET", "POST"],
        allow_headers=["content-type", "x-csrftoken", "x-request-id"],
        expose_headers=["x-request-id"],
    ),
    # Startup opens these for views and consumers. Shutdown closes them in reverse order.
    partial(
        LifespanMiddleware,
        lifespan=[
            *(worker_check, pool, uptime, gauges, client, ticker),
            Publisher(feed, pool, readiness),
        ],
        readiness=readiness,
        # Ends streams and WebSockets, which would otherwise keep the process alive.
        drain=Drain(grace=settings.DRAIN_GRACE, hold=settings.DRAIN_HOLD),
        shutdown_timeout=settings.DRAIN_GRACE + 10,
    ),
    # Next to Django, which would start a thread for each request. No other layer needs a thread.
    partial(ThreadPoolMiddleware, pool=pool),
)


async def http(scope: Scope, receive: Receive, send: Send) -> None:
    """Pass one path to Starlette, and all others to Django."""
    app = echo if scope["path"] == "/echo/" else django_application
    await app(scope, receive, send)


application = middleware(
    ProtocolTypeRouter(
        {
            "http": http,
            # Django has no startup of its own. Starlette's comes after the contexts listed above.
            "lifespan": echo,
            # Any page may open a WebSocket, and its visitor's cookies go along. Let in only ours.
            # Outside the session, so that a stranger's handshake costs no database query.
            "websocket": WebSocketOriginMiddleware(
                AuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
                allow_origins=["same-origin", *settings.CORS_ALLOWED_ORIGINS],
                allow_missing=settings.DEBUG,
                allowed_hosts=settings.ALLOWED_HOSTS,
            ),
        }
    )
)
