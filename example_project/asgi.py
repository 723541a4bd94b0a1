"""Where every connection enters: HTTP, WebSocket, and the server's startup and shutdown.

    uvicorn example_project.asgi:application

DJANGO_ENV chooses the settings (``environment.py``). A connection passes through the layers of
``stack``, which ``manage.py asgi_stack`` lists. Then it reaches Django (``urls.py``), Starlette
(``inspector/echo.py``) or a Channels consumer (``routing.py``).
"""
# ruff: noqa: E402 -- models can be imported only once Django is set up.

from functools import partial
from operator import attrgetter

from asgi_middleware.django import get_asgi_application

from .environment import choose_settings

choose_settings()
django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings

from asgi_middleware import (
    AccessLog,
    CORSPolicy,
    Drain,
    HealthMiddleware,
    PrometheusMetrics,
    Readiness,
    RequestBodyLimitMiddleware,
    RequestIDMiddleware,
    RequestTimeoutMiddleware,
    ThreadPool,
    WebSocketOriginMiddleware,
    compose,
    stack,
)
from asgi_middleware.types import Receive, Scope, Send

from .checks import checks
from .inspector.echo import echo
from .inspector.live.feed import Feed
from .inspector.live.publisher import Publisher
from .inspector.live.sent import SentHeadersMiddleware
from .lifespan import client, gauges, ticker, uptime, worker_check
from .routing import websocket_urlpatterns

# What the page shows: whether the process is ready, its threads, and its events.
readiness = Readiness()
pool = ThreadPool(size=8, max_overflow=8)
feed = Feed()


async def http(scope: Scope, receive: Receive, send: Send) -> None:
    """Pass one path to Starlette, and all others to Django."""
    app = echo if scope["path"] == "/echo/" else django_application
    await app(scope, receive, send)


application = stack(
    ProtocolTypeRouter(
        {
            "http": http,
            # Django has no startup of its own. Starlette's comes after the contexts listed below.
            "lifespan": echo,
            "websocket": AuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
        }
    ),
    health=partial(HealthMiddleware, readiness=readiness),
    checks=checks,
    # The project's own layer is outside those that add headers, so it sees what the client gets.
    request_id=compose(SentHeadersMiddleware, RequestIDMiddleware),
    observers=[AccessLog(skip_paths=["/metrics"]), PrometheusMetrics(), feed],
    # If not for everybody, then for the requests that middleware.py marks.
    server_timing=settings.SERVER_TIMING or attrgetter("expose"),
    cors=CORSPolicy(
        allow_origins=settings.CORS_ALLOWED_ORIGINS,
        allow_credentials=settings.CORS_ALLOW_CREDENTIALS,
        allow_methods=["GET", "POST"],
        allow_headers=["content-type", "x-csrftoken", "x-request-id"],
        expose_headers=["x-request-id"],
    ),
    # Any page may open a WebSocket, and its visitor's cookies go along. Let in only ours.
    websocket_origins=partial(
        WebSocketOriginMiddleware,
        allow_origins=["same-origin", *settings.CORS_ALLOWED_ORIGINS],
        allow_missing=settings.DEBUG,
    ),
    # Two pages have limits that a scenario can reach.
    max_body_size=partial(
        RequestBodyLimitMiddleware,
        max_body_size=5_000_000,
        paths={"/scenarios/upload/": 1_000},
        timeout=10.0,
        min_rate=500,
    ),
    request_timeout=partial(
        RequestTimeoutMiddleware, timeout=60.0, paths={"/scenarios/late/": 0.5}
    ),
    # Startup opens these for views and consumers. Shutdown closes them in reverse order.
    lifespan=[
        *(worker_check, uptime, gauges, client, ticker),
        Publisher(feed, pool, readiness),
    ],
    drain=Drain(grace=settings.DRAIN_GRACE, hold=settings.DRAIN_HOLD),
    pool=pool,
)
