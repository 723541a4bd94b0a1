"""What the inspector needs in the stack. ``asgi.py`` imports :func:`stack` from here."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import asgi_middleware
from asgi_middleware import (
    HealthMiddleware,
    Readiness,
    RequestIDMiddleware,
    RequestTimeoutMiddleware,
    Stack,
    ThreadPool,
    compose,
)
from asgi_middleware.types import ASGIApp, Receive, Scope, Send

from .echo import echo
from .lifespan import client, ticker, worker_check
from .live.feed import Feed
from .live.publisher import Publisher
from .live.sent import SentHeadersMiddleware
from .routing import SOCKETS, sockets


def stack(
    app: ASGIApp,
    *,
    observers: Sequence[Any],
    request_timeout: float,
    lifespan: Sequence[Any],
    pool: ThreadPool,
    **options: Any,
) -> Stack:
    """Return the stack of asgi_middleware with these options and the inspector's own."""
    # The page shows whether the process is ready, and what happens.
    readiness, feed = Readiness(), Feed()
    return asgi_middleware.stack(
        InspectorPaths(app),
        health=partial(HealthMiddleware, readiness=readiness),
        # Outside the layers that add headers, so it sees what the client gets.
        request_id=compose(SentHeadersMiddleware, RequestIDMiddleware),
        observers=[*observers, feed],
        # For a scenario. The limit reveals to everybody that this path exists, which is harmless.
        request_timeout=partial(
            RequestTimeoutMiddleware, timeout=request_timeout, paths={"/late/": 0.5}
        ),
        lifespan=[*lifespan, worker_check, client, ticker, Publisher(feed, pool, readiness)],
        pool=pool,
        **options,
    )


class InspectorPaths:
    """Passes the inspector's WebSockets to its consumers, /echo/ to Starlette, the rest to *app*.

    Starlette has a startup of its own, which runs after the contexts of the stack are entered.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind, path = scope["type"], scope.get("path")
        if kind == "websocket" and path in SOCKETS:
            await sockets(scope, receive, send)
        elif kind == "lifespan" or (kind == "http" and path == "/echo/"):
            await echo(scope, receive, send)
        else:
            await self.app(scope, receive, send)
