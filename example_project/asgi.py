"""Where every connection enters: HTTP, WebSocket, and the server's startup and shutdown.

    uvicorn example_project.asgi:application

DJANGO_ENV chooses the settings. A connection passes through the layers of ``stack``, which
``manage.py asgi_stack`` lists. Then it reaches a view (``urls.py``) or a consumer (``routing.py``).
"""
# ruff: noqa: E402 -- models can be imported only once Django is set up.

from asgi_middleware.django import get_asgi_application

from .settings import choose_settings

choose_settings()
django_application = get_asgi_application()

from functools import partial
from operator import attrgetter

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings

from asgi_middleware import (
    AccessLog,
    CORSPolicy,
    Drain,
    PrometheusMetrics,
    RequestBodyLimitMiddleware,
    ThreadPool,
    WebSocketOriginMiddleware,
    stack,
)

from .checks import checks
from .inspector.asgi import stack  # noqa: F811 -- the same, plus what the page / needs
from .lifespan import gauges, uptime
from .routing import websocket_urlpatterns

application = stack(
    ProtocolTypeRouter(
        {
            "http": django_application,
            "websocket": AuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
        }
    ),
    checks=checks,
    observers=[AccessLog(skip_paths=["/metrics"]), PrometheusMetrics()],
    # For everybody, or only for the requests that middleware.py marks.
    server_timing=settings.SERVER_TIMING or attrgetter("expose"),
    cors=CORSPolicy(
        allow_origins=settings.CORS_ALLOWED_ORIGINS,
        allow_credentials=settings.CORS_ALLOW_CREDENTIALS,
        allow_methods=["GET", "POST"],
        allow_headers=["content-type", "x-csrftoken", "x-request-id"],
        expose_headers=["x-request-id"],
    ),
    # Browsers let any page open a WebSocket, and send the visitor's cookies. Accept only our pages.
    websocket_origins=partial(
        WebSocketOriginMiddleware,
        allow_origins=["same-origin", *settings.CORS_ALLOWED_ORIGINS],
        allow_missing=settings.DEBUG,
    ),
    max_body_size=partial(
        RequestBodyLimitMiddleware,
        max_body_size=5_000_000,
        paths={"/notes/": 10_000},
        timeout=10.0,
        min_rate=500,
    ),
    request_timeout=60.0,
    lifespan=[uptime, gauges],
    drain=Drain(grace=settings.DRAIN_GRACE, hold=settings.DRAIN_HOLD),
    pool=ThreadPool(size=8, max_overflow=8),
)
