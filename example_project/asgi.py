"""Where every connection enters: HTTP, WebSocket, and the server's start and stop.

    uvicorn example_project.asgi:application

DJANGO_ENV chooses the settings (``environment.py``). A request meets the layers of
``middleware`` from the top down, then Django (``urls.py``), Starlette (``echo.py``) or a
consumer of Channels (``showcase/routing.py``).
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
from .lifespan import alone, client, gauges, ticker, uptime
from .live.feed import Feed
from .live.publisher import Publisher
from .live.sent import SentHeadersMiddleware
from .showcase.routing import websocket_urlpatterns

time_database_queries()

# What start-up and shutdown set, and /readyz tells.
readiness = Readiness()
# The threads for sync views, middleware, and the ORM.
pool = ThreadPool(size=8, max_overflow=8)
# What the page shows of the requests that end.
feed = Feed()

middleware = compose(
    # Outermost: probes have no Host that Django would allow, and are neither logged nor counted.
    partial(HealthMiddleware, readiness=readiness, checks=checks),
    # The project's own. Outside whatever adds headers, to see what the client gets.
    SentHeadersMiddleware,
    # Outside the rest, so that all that is logged or answered further in carries the ID.
    RequestIDMiddleware,
    # Outside whatever answers in Django's place, so that it measures what the client gets.
    partial(
        TimingMiddleware,
        observers=[AccessLog(skip_paths=["/metrics"]), PrometheusMetrics(), feed],
        # If not to everybody, to those whom middleware.py marks.
        server_timing=settings.SERVER_TIMING or attrgetter("expose"),
    ),
    # Outside whatever may refuse a request, so that a page of another origin can read why.
    partial(
        CORSMiddleware,
        allow_origins=settings.CORS_ALLOWED_ORIGINS,
        allow_credentials=settings.CORS_ALLOW_CREDENTIALS,
        allow_methods=["GET", "POST"],
        allow_headers=["content-type", "x-csrftoken", "x-request-id"],
        expose_headers=["x-request-id"],
    ),
    # What is opened here, at start-up, is there for views and consumers; the first is closed last.
    partial(
        LifespanMiddleware,
        lifespan=[
            *(alone, pool, uptime, gauges, client, ticker),
            Publisher(feed, pool, readiness),
        ],
        readiness=readiness,
        # Ends streams and WebSockets, which would keep the process from ending.
        drain=Drain(grace=settings.DRAIN_GRACE, hold=settings.DRAIN_HOLD),
        shutdown_timeout=settings.DRAIN_GRACE + 10,
    ),
    # Next to Django, which would start a thread for each request; nothing further out needs one.
    partial(ThreadPoolMiddleware, pool=pool),
)


async def http(scope: Scope, receive: Receive, send: Send) -> None:
    """Starlette has one path, Django all others."""
    app = echo if scope["path"] == "/echo/" else django_application
    await app(scope, receive, send)


application = middleware(
    ProtocolTypeRouter(
        {
            "http": http,
            # Django has no start-up of its own. Starlette's comes after those listed above.
            "lifespan": echo,
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
